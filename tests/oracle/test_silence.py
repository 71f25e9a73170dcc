"""A server that accepts a connection and then does not answer: each phase of a session has a time limit."""

from __future__ import annotations

import gc
import socket
import threading
from contextlib import closing

import pytest

from statekeeper.config.sections.oracle import OracleSource
from statekeeper.errors import SourceUnreachable, TransientSourceError
from statekeeper.model.plan import Chunk
from statekeeper.model.table import Relation
from statekeeper.sources.oracle.login import log_in, within
from statekeeper.sources.protocol import SourceSession
from statekeeper.sources.registry import open_session
from tests.messages import raises_message, says
from tests.oracle.pipelines import Lake, serving, source_at
from tests.oracle.relay import Relay
from tests.readings import reading

# The driver does not close the socket of a TLS handshake that fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LIMIT = 0.3
SLACK = 20.0
"""Long enough for a busy machine; without a time limit a call never ends."""


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        server.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(100)")])
        server.insert("SALES", "ORDERS", [(number, "x" * 100) for number in range(20_000)])
        yield server


def end_of_late_calls():
    for thread in threading.enumerate():
        if thread.name == "statekeeper-time-limit":
            thread.join(SLACK)


@pytest.fixture(autouse=True)
def _nothing_is_left_to_later_tests():
    """Abandoned calls end when their listener does."""
    yield
    end_of_late_calls()
    gc.collect()


@pytest.fixture
def mute():
    """The port of a listener that accepts connections and does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        yield listener.getsockname()[1]


def through(port: int, **keys: object) -> OracleSource:
    limit = f"{LIMIT * 1000:.0f}ms"
    return source_at(**{"host": "127.0.0.1", "port": port, "service": "TESTDB", "connect_timeout": limit, **keys})


def opened(port: int, **keys: object) -> SourceSession:
    return open_session(through(port, **keys))


def in_time(call):
    """The result or error of a call, which must end although nobody answers."""
    return within(SLACK, call, discard=lambda _: None)


@pytest.mark.parametrize("protocol", ["tcp", "tcps"])
def test_a_listener_that_accepts_and_stays_silent_is_unreachable(mute, protocol):
    with raises_message(SourceUnreachable, "oracle.no_answer_in_time", seconds=0.3) as caught:
        in_time(lambda: opened(mute, protocol=protocol))
    assert "connect_timeout" in (caught.value.hint or "")


def test_tls_with_a_listener_that_speaks_plain_is_unreachable(server):
    with Relay(server.host, server.port) as relay, pytest.raises(SourceUnreachable):
        in_time(lambda: opened(relay.port, protocol="tcps"))


def test_a_server_that_closes_the_connection_is_reported_as_no_listener(server):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(TransientSourceError, match="DPY-4011") as caught:
            in_time(lambda: opened(listener.getsockname()[1], connect_timeout="10s"))
    assert says(caught.value.hint, "oracle.check_host_port_and_protocol")


def test_silence_after_any_answer_of_the_login_is_unreachable(server):
    with Relay(server.host, server.port) as relay, closing(log_in(through(relay.port, connect_timeout="20s"))):
        whole = relay.passed
    for allowed in [0, 1, 10, *range(40, whole, whole // 5), whole - 1]:
        with Relay(server.host, server.port, allowed=allowed) as relay, pytest.raises(SourceUnreachable):
            in_time(lambda relay=relay: opened(relay.port))


def test_a_session_that_is_opened_too_late_is_closed(server):
    server.clear_log()
    server.fault("delay", match="DISABLE PARALLEL", seconds=1.5)
    with pytest.raises(SourceUnreachable):
        opened(server.port)
    end_of_late_calls()
    assert [one for one in server.sessions() if one["user"] == "READER"] == []


def test_a_call_that_hangs_between_rows_fails_by_its_call_timeout(server):
    relation = Relation(schema_name="SALES", table_name="ORDERS")
    with Relay(server.host, server.port) as relay:
        session = opened(relay.port, connect_timeout="20s", call_timeout="1s")
        what = reading(session, relation)
        batches = session.read(what, Chunk(chunk_id=0), batch_rows=1000)
        next(batches)
        relay.allowed = relay.passed + 5000
        with pytest.raises(TransientSourceError):
            in_time(lambda: list(batches))
        in_time(session.close)


def test_a_session_that_hangs_is_closed_in_time(server):
    with Relay(server.host, server.port) as relay:
        session = opened(relay.port, connect_timeout="1s")
        relay.allowed = relay.passed
        in_time(session.close)


def ended(lake: Lake, **source: object) -> str:
    """The output of a run that reached no database; nothing is tried twice."""
    retry = {"attempts": 5, "initial_delay": "1h", "max_delay": "1h"}
    lake.configure({"schema_name": "SALES", "table_name": "ORDERS"}, source=source, defaults={"retry": retry})
    report = in_time(lake.run)
    assert report.exit_code == 4
    failure = report.tables[0].failure
    return f"{failure.message} | {failure.hint}"


def test_a_run_against_a_silent_server_ends_with_exit_code_4(server, mute, tmp_path):
    said = ended(Lake(tmp_path, server), host="127.0.0.1", port=mute, connect_timeout="300ms")
    assert "did not answer within 0.3 s" in said


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ({"host": "no-such-host.invalid"}, "check host"),
        ({"host": None, "port": None, "service": None, "dsn": "no-such-host.invalid/TESTDB"}, "check host"),
        ({"host": None, "port": None, "service": None, "dsn": "no_such_alias"}, "tnsnames.ora"),
    ],
    ids=["host", "dsn", "alias"],
)
def test_a_wrong_address_ends_a_run_at_the_first_attempt_with_exit_code_4(server, tmp_path, source, hint):
    assert hint in ended(Lake(tmp_path, server), **source)
