"""The code of a slot, run in this process with real files, and with real chunks where that matters."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from statekeeper.config.resolved import OutputConfig
from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.storage import StorageConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.spark import partition
from statekeeper.engines.spark.batches import Batch, Item, seal, unseal
from statekeeper.engines.spark.exchange import DriverSign, ErrorRecord, Exchange, Outcome, SlotReport
from statekeeper.engines.spark.pace import Pace
from statekeeper.engines.spark.partition import TaskContext, decode, run_slot
from statekeeper.errors import DataError, FailureKind, LoginRefused, SourceUnreachable, TransientSourceError
from statekeeper.extract.chunk import ChunkSpec, extract_chunk
from statekeeper.model.plan import Chunk, Plan, PlannedColumn, ReadSpec
from statekeeper.model.receipt import Receipt
from statekeeper.model.table import ExtractionMode, Relation, Scope, TableRef
from statekeeper.sources.duckdb.session import DuckdbSession
from statekeeper.store.documents import save_plan
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.process import this_process
from statekeeper.store.receipts import load_receipts
from statekeeper.store.staging import Staging


@pytest.fixture
def exchange(tmp_path):
    exchange = Exchange(tmp_path / "exchange")
    exchange.make(this_process())
    return exchange


KEY = b"k" * 32
QUICK = Pace.of(0.0)
SLOW = Pace.of(0.04)


def _context(
    exchange, slot=1, *, may_run_twice=False, heartbeat_timeout=60.0, secrets=(), pace=QUICK, private=frozenset()
):
    sources = {"shop": JobSource("shop", DuckDBSource(type="duckdb", path=str(exchange.folder.parent / "shop.duckdb")))}
    return TaskContext(
        exchange.folder,
        (slot,),
        KEY,
        sources,
        secrets,
        heartbeat_timeout,
        "100MB",
        may_run_twice,
        pace.within(heartbeat_timeout),
        private,
    )


def _item(number, work, spec=None, *, source=None, result_type=int):
    return Item(number, f"shop.table_{number}", work, spec, source, result_type)


def _hand(exchange, *items, slot=1, serial=1, key=KEY):
    exchange.write_batch(slot, seal(Batch(slot, serial, items), key))


def _work(exchange, *items, slot=1, **choices):
    """Hand a slot the items, have it work until they have outcomes, and end it; return the outcomes, by item."""
    _hand(exchange, *items, slot=slot)
    thread = threading.Thread(target=run_slot, args=(_context(exchange, slot, **choices), 0))
    thread.start()
    while thread.is_alive() and len(_outcomes(exchange, *items)) < len(items):
        thread.join(0.01)
    if exchange.folder.exists():
        _hand(exchange, slot=slot, serial=2)
    thread.join(60)
    assert not thread.is_alive()
    return _outcomes(exchange, *items)


def _reports(exchange, slot):
    return [report for name in exchange.report_names([slot]) if (report := exchange.read_report(name))]


def _outcomes(exchange, *items, slots=range(10)):
    numbers = {item.number for item in items}
    reports = [report for slot in slots for report in _reports(exchange, slot)]
    found = {outcome.item: outcome for report in reports for outcome in report.outcomes if outcome.item in numbers}
    return [found[number] for number in sorted(found)]


def square(spec, _context):
    return spec * spec


def fail_with_a_value(_spec, _context):
    raise DataError("the value 4711 is wrong", discreet="a value is wrong")


def fail_with_a_secret(_spec, _context):
    raise ValueError("the password is tiger-1234")


def lose(spec, _context):
    raise {"refused": LoginRefused, "unreachable": SourceUnreachable, "transient": TransientSourceError}[spec](spec)


def answer_with_text(_spec, _context):
    return object()


def read_until_stopped(spec, context):
    Exchange(spec).write_sign(DriverSign(beat=1, dropped=(1,)))
    while True:
        context.progress(10)
        context.check_stop()


def wait_until_stopped(_spec, context):
    while True:
        context.check_stop()


def lose_the_driver(spec, context):
    Exchange(spec).remove()
    while True:
        context.check_stop()


def test_items_are_run_and_their_outcomes_written(exchange):
    outcomes = _work(exchange, *(_item(number, square, number) for number in (1, 2, 3)))
    assert [decode(int, outcome.answer) for outcome in outcomes] == [1, 4, 9]
    assert [report.is_over for report in _reports(exchange, 1)] == [True]


def test_a_slot_runs_batch_after_batch_and_waits_between_them(exchange):
    thread = threading.Thread(target=run_slot, args=(_context(exchange), 0))
    thread.start()
    for number in (1, 2, 3):
        _hand(exchange, _item(number, square, number), serial=number)
        while not (found := _outcomes(exchange, _item(number, square))):
            thread.join(0.01)
        assert found[0].answer == str(number * number)
    _hand(exchange, serial=4)
    thread.join(60)
    assert not thread.is_alive()


def test_a_batch_that_is_partly_written_or_sealed_with_another_key_is_never_unpickled(exchange, tmp_path):
    marker = tmp_path / "opened"
    batch = Batch(1, 1, (_item(1, square, _Touches(marker)),))
    for sealed in (b"", seal(batch, b"x" * 32), seal(batch, KEY)[:-1], seal(batch, KEY)[32:]):
        assert unseal(sealed, KEY, StorageConfig()) is None
    assert not marker.exists()
    assert unseal(seal(batch, KEY), KEY, StorageConfig()).serial == 1
    assert marker.exists()


class _Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_batch_of_another_slot_or_one_that_was_done_is_not_run(exchange):
    outcomes = _work(exchange, _item(1, square, 2))
    exchange.write_batch(2, exchange.read_batch(1))
    thread = threading.Thread(target=run_slot, args=(_context(exchange, 2), 0))
    thread.start()
    thread.join(4 * QUICK.max_poll)
    assert thread.is_alive(), "it waits for a batch of its own"
    exchange.write_sign(DriverSign(beat=1, is_stopped=True))
    thread.join(60)
    assert _outcomes(exchange, _item(1, square)) == outcomes


def test_an_outcome_that_cannot_be_written_fails_the_task_so_that_spark_retries_it(exchange, monkeypatch):
    def refuse(*_arguments, **_choices):
        raise OSError("No space left on device")

    monkeypatch.setattr(Exchange, "write_report", refuse)
    _hand(exchange, _item(1, square, 2))
    with pytest.raises(OSError, match="No space"):
        run_slot(_context(exchange), 0)
    assert not any(report.is_over for report in _reports(exchange, 1))


def test_a_failure_of_a_private_table_is_reported_without_values(exchange):
    private = frozenset({"shop.table_1"})
    outcomes = _work(exchange, _item(1, fail_with_a_value), _item(2, fail_with_a_value), private=private)
    assert [one.failure.message for one in outcomes] == ["a value is wrong", "the value 4711 is wrong"]


def test_a_failure_is_reported_without_secrets_and_the_other_items_run(exchange):
    first, second = _work(exchange, _item(1, fail_with_a_secret), _item(2, square, 3), secrets=("tiger-1234",))
    assert first.failure.kind is FailureKind.INTERNAL
    assert "the password is ***" in first.failure.message
    assert second.answer == "9"
    assert not any(b"tiger" in file.read_bytes() for file in exchange.folder.iterdir())


def test_an_item_with_an_outcome_is_not_run_again(exchange):
    earlier = SlotReport(slot=1, outcomes=(Outcome(item=1, answer="41"),), is_over=True)
    exchange.write_report(earlier, attempt="earlier")
    one, two = _work(exchange, _item(1, fail_with_a_secret), _item(2, square, 2))
    assert (one.answer, two.answer) == ("41", "4")


@pytest.mark.parametrize("told", [2, None])
def test_a_slot_whose_worker_died_reports_the_item_and_ends(exchange, told):
    done = (Outcome(item=1, answer="1"),)
    exchange.write_report(SlotReport(slot=1, item=told, rows=7, outcomes=done), attempt="earlier")
    one, two = _work(exchange, *(_item(number, square, number) for number in (1, 2, 3)))
    assert one.answer == "1"
    assert two.failure.kind is FailureKind.WORKER_DIED
    assert "shop.table_2" in two.failure.message
    assert sorted(report.is_over for report in _reports(exchange, 1)) == [False, True]


def test_an_old_slot_ends_by_itself(exchange, monkeypatch):
    monkeypatch.setattr(partition, "MAX_ITEMS", 2)
    _hand(exchange, *(_item(number, square, number) for number in (1, 2, 3)))
    run_slot(_context(exchange), 0)
    assert [report.is_over for report in _reports(exchange, 1)] == [True]
    assert len(_outcomes(exchange, *(_item(number, square) for number in (1, 2, 3)))) == 3, "what it was given is done"


def test_with_slow_files_outcomes_are_reported_together(exchange, monkeypatch):
    told, report = [], Exchange.write_report
    monkeypatch.setattr(Exchange, "write_report", lambda *args, **more: told.append(args[1]) or report(*args, **more))
    items = [_item(number, square, number) for number in range(50)]
    assert len(_work(exchange, *items, pace=SLOW)) == 50
    assert len(told) <= 5, "the beginning, the end, and hardly anything between them"


def outcomes_told(spec, _context):
    """How many outcomes the driver can read at this time."""
    return len([outcome for report in _reports(Exchange(spec), 1) for outcome in report.outcomes])


def test_a_stopped_item_is_reported_before_the_next_begins_even_with_slow_files(exchange):
    """The driver waits for it only for a limited time, and then ends the slot."""
    pace = Pace(poll=SLOW.poll, max_poll=60, watch=0.05, report=60, heartbeat=60)
    items = [_item(1, read_until_stopped, exchange.folder), _item(2, outcomes_told, exchange.folder)]
    stopped, told = _work(exchange, *items, pace=pace)
    assert stopped.failure.kind is FailureKind.INTERRUPTED
    assert told.answer == "1"


def test_with_speculation_an_item_of_the_other_attempt_is_run_too(exchange):
    exchange.write_report(SlotReport(slot=1, item=2, rows=7), attempt="other")
    outcomes = _work(exchange, _item(2, square, 2), may_run_twice=True)
    assert [outcome.answer for outcome in outcomes] == ["4"]


def test_a_refused_login_ends_the_source_for_every_partition_and_no_other(exchange):
    items = [_item(1, lose, "refused", source="shop"), _item(2, square, 2, source="shop"), _item(3, square, 3)]
    outcomes = _work(exchange, *items)
    assert [outcome.failure and outcome.failure.kind for outcome in outcomes] == [
        FailureKind.LOGIN_REFUSED,
        FailureKind.LOGIN_REFUSED,
        None,
    ]
    (elsewhere,) = _work(exchange, _item(4, square, 4, source="shop"), slot=2)
    assert elsewhere.failure.kind is FailureKind.LOGIN_REFUSED


def test_an_unreachable_source_ends_its_items_of_this_partition_only(exchange):
    outcomes = _work(exchange, _item(1, lose, "unreachable", source="shop"), _item(2, square, 2, source="shop"))
    assert {outcome.failure.kind for outcome in outcomes} == {FailureKind.UNREACHABLE}
    (elsewhere,) = _work(exchange, _item(3, square, 3, source="shop"), slot=2)
    assert elsewhere.answer == "9"


def test_after_a_transient_failure_the_next_item_tries(exchange):
    outcomes = _work(exchange, _item(1, lose, "transient", source="shop"), _item(2, square, 2, source="shop"))
    assert [outcome.answer for outcome in outcomes] == [None, "4"]


def test_a_result_of_another_type_fails_its_item(exchange):
    first, second = _work(exchange, _item(1, answer_with_text, result_type=Receipt), _item(2, square, 2))
    assert first.failure.kind is FailureKind.INTERNAL
    assert second.answer == "4"


def test_a_dropped_item_is_stopped_and_the_next_one_done(exchange):
    first, second = _work(exchange, _item(1, read_until_stopped, exchange.folder), _item(2, square, 2))
    assert first.failure.kind is FailureKind.INTERRUPTED
    assert second.answer == "4"


def test_a_worker_whose_driver_is_gone_ends(exchange):
    assert _work(exchange, _item(1, lose_the_driver, exchange.folder), _item(2, square, 2)) == []
    assert not exchange.folder.exists()


def test_an_attempt_after_the_end_of_the_run_does_nothing(exchange):
    exchange.remove()
    run_slot(_context(exchange), 0)
    assert not exchange.folder.exists()


def test_a_worker_without_heartbeats_ends_with_a_retryable_failure(exchange):
    (first, *rest) = _work(exchange, _item(1, wait_until_stopped), _item(2, square, 2), heartbeat_timeout=0.1)
    assert first.failure.kind is FailureKind.WORKER_DIED
    assert rest == []


class _Gate:
    """Lets the first attempt read its rows, and holds it before it writes the part until the second has finished."""

    reading = threading.Event()
    second_is_through = threading.Event()


def extract_late(spec, context):
    """`extract_chunk` with a wait in the middle."""

    class Late:
        memory_limit = context.memory_limit
        session = context.session
        check_stop = context.check_stop

        @staticmethod
        def progress(rows):
            _Gate.reading.set()
            assert _Gate.second_is_through.wait(60)
            context.progress(rows)

    return extract_chunk(spec, Late())


def test_the_late_attempt_of_a_chunk_is_ignored_and_leaves_no_file(tmp_path, exchange):
    spec = _chunk_of_a_table(tmp_path)
    _hand(exchange, _item(1, extract_late, spec, source="shop", result_type=Receipt))
    late = threading.Thread(target=run_slot, args=(_context(exchange, may_run_twice=True), 0))
    late.start()
    assert _Gate.reading.wait(60)
    (second,) = _work(exchange, _item(1, extract_chunk, spec, source="shop", result_type=Receipt), may_run_twice=True)
    _Gate.second_is_through.set()
    late.join(60)
    kept = load_receipts(LocalDisk(), spec.staging, spec.plan_id)[0]
    outcomes = [outcome for report in _reports(exchange, 1) for outcome in report.outcomes]
    assert len(outcomes) == 2
    assert second in outcomes
    answers = {decode(Receipt, outcome.answer).attempt for outcome in outcomes}
    assert answers == {kept.attempt}, "both say what the first receipt says"
    assert [path.name for path in spec.staging.parts.iterdir()] == [kept.part]


def test_a_chunk_of_a_discarded_plan_finds_no_staging_folder(tmp_path, exchange):
    spec = _chunk_of_a_table(tmp_path)
    LocalDisk().remove_folder(spec.staging.folder, role="sweep")
    (outcome,) = _work(exchange, _item(1, extract_chunk, spec, source="shop", result_type=Receipt))
    assert outcome.failure.kind is FailureKind.STORAGE
    assert not spec.staging.folder.exists()


def _chunk_of_a_table(folder):
    database = folder / "shop.duckdb"
    with duckdb.connect(database) as connection:
        connection.execute("create table orders as select i as id from range(1000) as r(i)")
    session = DuckdbSession(str(database), memory_limit="100MB")
    relation, scope = Relation(table_name="orders"), Scope(mode=ExtractionMode.FULL)
    snapshot = session.take_snapshot(relation)
    reading = ReadSpec(
        relation=relation,
        snapshot=snapshot,
        scope=scope,
        columns=(PlannedColumn(name="id", database_type="BIGINT", read_type="int64", arrow_type="int64"),),
    )
    session.close()
    plan = Plan(
        plan_id="0" * 32,
        run_id="run",
        table=TableRef(source_name="shop", table_name="orders", path_name="orders"),
        created_at=datetime.now(UTC),
        reading=reading,
        chunks=(Chunk(chunk_id=0),),
    )
    staging = Staging(folder / "out" / plan.plan_id)
    save_plan(LocalDisk(), staging, plan)
    return ChunkSpec(
        table="shop.orders",
        run_id="run",
        plan_id=plan.plan_id,
        reading=reading,
        chunk=plan.chunks[0],
        staging=staging,
        output=OutputConfig(base_path=str(folder)),
        disk=LocalDisk(),
    )


def test_an_error_record_becomes_the_same_error():
    error = ErrorRecord(kind=FailureKind.LOGIN_REFUSED, message="no", hint="ask", code="ORA-01017").as_error()
    assert (type(error), error.hint, error.code) == (LoginRefused, "ask", "ORA-01017")
