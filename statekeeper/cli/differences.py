"""The output of `schemas diff`: a line per table, then each difference with both sides and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from statekeeper.cli.screen import Screen
from statekeeper.schemas.columns.differences import Difference, DiffReport, DiffVerdict, TableDiff

_NOTHING = "-"


def show_differences(report: DiffReport, screen: Screen, *, infer: Callable[[str], str]) -> None:
    """Show the differences of every table; the JSON output is the report itself.

    `infer` gives the command that drafts a table's model, by the table's key.
    """
    for table in report.tables:
        _show_table(table, screen, infer)
    counted = Counter(table.verdict.value for table in report.tables)
    screen.line(", ".join(f"{number} {verdict}" for verdict, number in counted.most_common()) or "no tables")


def _show_table(table: TableDiff, screen: Screen, infer: Callable[[str], str]) -> None:
    against = f" ({table.model})" if table.model is not None else ""
    if table.failure is not None:
        screen.line(f"{table.table.key}{against}: cannot be compared: {table.failure.message}")
        if table.failure.hint:
            screen.line(f"  hint: {table.failure.hint}")
        return
    verdict = table.verdict.value
    if table.verdict is DiffVerdict.NO_MODEL:
        verdict = f"no schema is declared; `{infer(table.table.key)}` drafts one"
    elif table.is_refused:
        verdict += ": a run would refuse it"
    elif table.differences:
        verdict += ", but a run would accept it"
    screen.line(f"{table.table.key}{against}: {verdict}")
    for difference in table.differences:
        _show_difference(difference, screen)


def _show_difference(difference: Difference, screen: Screen) -> None:
    sides = f"table: {difference.table or _NOTHING}, model: {difference.model or _NOTHING}"
    screen.line(f"  {difference.kind.value} {difference.name}  {sides}")
    screen.line(f"    {difference.message}")
    screen.line(f"    do: {difference.remedy}")
