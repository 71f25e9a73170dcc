"""Types without an exact Arrow type, and old ones: refused by name with a hint, or delivered as the hint says."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from statekeeper.run.report import Outcome
from tests.messages import Message, message, says
from tests.oracle.pipelines import Lake, serving

DAY_TO_SECOND = timedelta(days=-3, hours=4, microseconds=5)


def as_text(function: str) -> Message:
    return message("oracle.declare_a_text", function=function)


REFUSED = {
    "DS": ("INTERVAL DAY TO SECOND", "INTERVAL DAY(2) TO SECOND(6)", as_text('TO_CHAR("DS")')),
    "YM": ("INTERVAL YEAR TO MONTH", "INTERVAL YEAR(2) TO MONTH", as_text('TO_CHAR("YM")')),
    "J": ("JSON", "JSON", as_text('JSON_SERIALIZE("J" RETURNING CLOB ERROR ON ERROR)')),
    "X": ("XMLTYPE", "XMLTYPE", as_text('XMLSERIALIZE(CONTENT "X" AS CLOB)')),
    "V": ("VECTOR", "VECTOR", as_text('VECTOR_SERIALIZE("V" RETURNING CLOB)')),
    "F": ("BFILE", "BFILE", message("oracle.returns_a_blob")),
    "P": ("MDSYS.SDO_GEOMETRY", "MDSYS.SDO_GEOMETRY", message("oracle.select_attributes")),
    "N": ("NUMBER(20,-20)", "NUMBER(20,-20)", message("oracle.needs_digits", digits=40)),
}  # fmt: skip
TEXTS = {
    "DS": (DAY_TO_SECOND, "-02 19:59:59.999995"),
    "YM": (-14, "-01-02"),
    "J": ('{"a":[1,null]}', '{"a":[1,null]}'),
    "X": ("<a>\u00e9</a>", "<a>\u00e9</a>"),
    "V": ("[1.5,-2]", "[1.5,-2]"),
    "N": (10**39, "1" + "0" * 39),
}
DELIVERED = {
    "LONG": ("LONG", pa.string(), ["x" * 100_000, "\u00e9\U0001f600", None]),
    "LONG_RAW": ("LONG RAW", pa.binary(), [b"\x00\xff" * 50_000, b"a", None]),
    "ROWIDS": ("ROWID", pa.string(), ["AAAAuZAABAAAQJhAAA", None]),
    "UROWIDS": ("UROWID", pa.string(), ["*BAJAB4gCwQL+", None]),
}


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        for name, (declared, *_) in REFUSED.items():
            value = TEXTS[name][0] if name in TEXTS else "something"
            server.create_table("T", f"T_{name}", [("ID", "NUMBER(9)"), (name, declared)], [(1, value), (2, None)])
        for name, (declared, _, values) in DELIVERED.items():
            server.create_table("T", name, [("ID", "NUMBER(9)"), ("C", declared)], list(enumerate(values)))
        yield server


def declared(name: str) -> dict[str, object]:
    return {"ID": {"type": "int"}, name: {"type": "str", "nullable": True}}


@pytest.fixture(scope="module")
def plain(server, tmp_path_factory):
    """A table for each type, without a schema: what `plan` says, and how a run ends."""
    lake = Lake(tmp_path_factory.mktemp("plain"), server)
    lake.configure(
        *({"schema_name": "T", "table_name": name} for name in (*(f"T_{name}" for name in REFUSED), *DELIVERED))
    )
    planned = lake.command("plan", "ora.yml", "--date", "2026-01-06")
    return (
        lake,
        " ".join((planned.stdout + planned.stderr).split()),
        {one.table.table_name: one for one in lake.run().tables},
    )


@pytest.fixture(scope="module")
def as_texts(server, tmp_path_factory):
    """The types that can be read as text, declared as text."""
    lake = Lake(tmp_path_factory.mktemp("texts"), server)
    lake.configure(*({"schema_name": "T", "table_name": f"T_{name}", "columns": declared(name)} for name in TEXTS))
    return lake, {one.table.table_name: one for one in lake.run().tables}


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_without_an_exact_one_is_refused_by_name_with_what_to_do(plain, name):
    lake, planned, reports = plain
    _, shown, words = REFUSED[name]
    report = reports[f"T_{name}"]
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    for said in (planned, f"{report.failure.message} {report.failure.hint}"):
        assert says(said, "sources.column_and_type", column=name, type=shown)
        assert says(said, words)
    assert not lake.output(f"T_{name}").exists()


@pytest.mark.parametrize("name", TEXTS)
def test_a_column_declared_as_text_is_read_by_the_function_in_the_hint(as_texts, name):
    lake, reports = as_texts
    report = reports[f"T_{name}"]
    assert report.outcome is Outcome.COMPLETED, (report.reason, report.failure)
    assert lake.published(f"T_{name}").sort_by("ID").column(name).to_pylist() == [TEXTS[name][1], None]


@pytest.mark.parametrize("name", DELIVERED)
def test_old_types_arrive_completely(plain, name):
    lake, _, reports = plain
    report = reports[name]
    assert report.outcome is Outcome.COMPLETED, (report.reason, report.failure)
    _, arrow, values = DELIVERED[name]
    column = lake.published(name).sort_by("ID").column("C")
    assert column.type == arrow
    assert column.to_pylist() == values
