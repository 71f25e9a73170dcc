"""Applies the policy `on_drift` to new, lost and retyped columns when a plan is made. Pure.

The table is compared with the model if there is one, else with the columns of the last complete extraction. A
difference either stops the plan (one error lists them all) or becomes a `ColumnChange`. `schemas.columns.reconcile`
finds the differences between table and model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from statekeeper.config.sections.tables import OnDrift
from statekeeper.errors import DataError, PlanError
from statekeeper.model.drift import Baseline, ChangeKind, ChangeOutcome, ColumnChange
from statekeeper.model.plan import PlannedColumn, UnreadColumn
from statekeeper.schemas.columns.differences import Difference, DifferenceKind
from statekeeper.schemas.columns.reconcile import compare, declaration, side
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import ModelField, ModelShape, pair_fields
from statekeeper.schemas.rules.rows import fields_validator, unmatched_fields

if TYPE_CHECKING:
    from pydantic import BaseModel

    from statekeeper.model.column import SourceColumn
    from statekeeper.model.schema import SchemaRef


@dataclass(frozen=True)
class Expectation:
    """The expected columns of a table, and the policy for differences.

    `model` is `ref`'s, None if none is declared. `baseline` has the columns of the last complete extraction of the same
    relation with the same model, None if there is none.
    """

    ref: SchemaRef
    model: type[BaseModel] | None
    baseline: Baseline | None = None
    on_drift: OnDrift = OnDrift.FAIL

    @property
    def label(self) -> str:
        """The origin of the expectation, for messages."""
        if self.model is not None:
            return f"{self.ref.label} describes it" if self.ref.path else "its `columns` describe it"
        return f"run {self.baseline.run_id} extracted it" if self.baseline else "a file can hold it"


@dataclass(frozen=True)
class Agreement:
    """The columns of the file, the table's columns that are left out of it, and the accepted differences."""

    columns: tuple[PlannedColumn, ...]
    left_out: tuple[UnreadColumn, ...] = ()
    changes: tuple[ColumnChange, ...] = ()


def agree(source_columns: tuple[SourceColumn, ...], expected: Expectation) -> Agreement:
    """The columns of the file, with the table's names and order.

    Raises:
        PlanError: lists every column that the policy refuses, with what was expected, what was found and what to do.
    """
    decision = _Decision(source_columns, expected)
    if expected.model is not None:
        decision.against_model(expected.model)
    else:
        decision.against_baseline()
    return decision.agreement()


@dataclass
class _Decision:
    """Builds an agreement, column by column."""

    table: tuple[SourceColumn, ...]
    expected: Expectation
    planned: dict[str, PlannedColumn] = field(default_factory=dict)
    left_out: list[UnreadColumn] = field(default_factory=list)
    changes: list[ColumnChange] = field(default_factory=list)
    stops: list[Difference] = field(default_factory=list)

    def against_model(self, model: type[BaseModel]) -> None:
        compared = compare(self.table, model)
        self.planned = {column.name: column for column in compared.columns}
        shape = read_model(model)
        paired = pair_fields(tuple(column.name for column in self.table), shape.fields)
        absent = {part.key: part for part in unmatched_fields(shape, paired.values())}
        by_name = {column.name: column for column in self.table}
        for difference in compared.refused:
            match difference.kind:
                case DifferenceKind.NEW:
                    self._new(by_name[difference.name])
                case DifferenceKind.LOST if self._is_evolving and self._is_gone(difference.name):
                    if accepts_missing_column(absent[difference.name], shape):
                        self._accept(difference)
                    else:
                        self.stops.append(difference)
                case _:
                    self.stops.append(difference)

    def against_baseline(self) -> None:
        compared = compare(self.table, None)
        held = {column.name: column for column in compared.columns}
        unheld = {difference.name: difference for difference in compared.refused}
        before = self.expected.baseline
        for column in self.table:
            if before is not None and column.name not in before.columns:
                self._new(column)
            elif column.name in unheld:
                self.stops.append(unheld[column.name])
            else:
                self.planned[column.name] = held[column.name]
                if before is not None and before.columns[column.name] != held[column.name].arrow_type:
                    self._stop_or_accept(_retyped(held[column.name], before))
        if before is not None:
            for name in before.columns.keys() - {column.name for column in self.table}:
                self._stop_or_accept(_lost(name, before))

    def agreement(self) -> Agreement:
        if self.stops:
            raise _refusal(self.stops, self.table, self.expected)
        self._note_against_baseline()
        ordered = tuple(self.planned[column.name] for column in self.table if column.name in self.planned)
        return Agreement(ordered, tuple(self.left_out), tuple(self.changes))

    @property
    def _is_evolving(self) -> bool:
        return self.expected.on_drift is OnDrift.EVOLVE

    def _is_gone(self, name: str) -> bool:
        """False if columns differ from it only by case, so that it is ambiguous rather than missing."""
        return all(column.name.casefold() != name.casefold() for column in self.table)

    def _new(self, column: SourceColumn) -> None:
        match self.expected.on_drift:
            case OnDrift.FAIL:
                self.stops.append(_new(column, self.expected))
            case OnDrift.IGNORE_NEW:
                self.left_out.append(UnreadColumn(name=column.name, database_type=column.database_type))
                self._change(ChangeKind.NEW, column.name, None, side(column), ChangeOutcome.LEFT_OUT)
            case OnDrift.EVOLVE:
                own = compare((column,), None)
                self.stops.extend(own.refused)
                for planned in own.columns:
                    self.planned[column.name] = planned
                    self._change(ChangeKind.NEW, column.name, None, side(column), ChangeOutcome.TAKEN)

    def _stop_or_accept(self, difference: Difference) -> None:
        if self._is_evolving:
            self._accept(difference)
        else:
            self.stops.append(difference)

    def _accept(self, difference: Difference) -> None:
        kind = ChangeKind(difference.kind)
        self._change(kind, difference.name, difference.model, difference.table, ChangeOutcome.ACCEPTED)

    def _note_against_baseline(self) -> None:
        """Record changes since the last extraction that need no policy."""
        before = self.expected.baseline
        if before is None:
            return
        recorded = {change.column.casefold() for change in self.changes}
        for name, planned in self.planned.items():
            if name in before.columns and name.casefold() not in recorded and _has_changed(planned, before):
                self._change(ChangeKind.RETYPED, name, before.type_of(name), _type_of(planned), ChangeOutcome.ADMITTED)
        for name in before.columns.keys() - self.planned.keys():
            if self.expected.model and self._is_evolving and self._is_gone(name) and name.casefold() not in recorded:
                self._accept(_lost(name, before))

    def _change(
        self, kind: ChangeKind, column: str, expected: str | None, found: str | None, outcome: ChangeOutcome
    ) -> None:
        self.changes.append(ColumnChange(column=column, kind=kind, expected=expected, found=found, outcome=outcome))


def accepts_missing_column(part: ModelField, shape: ModelShape) -> bool:
    """Whether the model accepts rows without this column: by the field's default, or as None."""
    if part.reads_others:
        return part.is_nullable
    validate = fields_validator(shape, (part,))
    try:
        return not validate({}) or not validate({part.key: None})
    except DataError:  # its own validator fails on None
        return False


def _new(column: SourceColumn, expected: Expectation) -> Difference:
    message = "the schema has no such field"
    if expected.model is None and expected.baseline is not None:
        message = f"run {expected.baseline.run_id} had no such column"
    return Difference(
        kind=DifferenceKind.NEW,
        name=column.name,
        table=side(column),
        model=None,
        message=message,
        remedy="",
    )


def _lost(name: str, before: Baseline) -> Difference:
    return Difference(
        kind=DifferenceKind.LOST,
        name=name,
        table=None,
        model=before.type_of(name),
        message="the table has no such column",
        remedy="select it again, or accept that it is gone",
    )


def _retyped(planned: PlannedColumn, before: Baseline) -> Difference:
    name = planned.name
    return Difference(
        kind=DifferenceKind.RETYPED,
        name=name,
        table=_type_of(planned),
        model=before.type_of(name),
        message=f"expected {before.type_of(name)}, found {_type_of(planned)}",
        remedy=f"select it as {before.database_types.get(name, before.columns[name])}, or accept the new type",
    )


def _type_of(planned: PlannedColumn) -> str:
    return f"{planned.database_type} ({planned.arrow_type} in the file)"


def _has_changed(planned: PlannedColumn, before: Baseline) -> bool:
    was = before.columns[planned.name], before.database_types.get(planned.name, planned.database_type)
    return was != (planned.arrow_type, planned.database_type)


def _refusal(stops: list[Difference], table: tuple[SourceColumn, ...], expected: Expectation) -> PlanError:
    order = {column.name: index for index, column in enumerate(table)}
    by_name = {column.name: column for column in table}
    lines = [
        _line(stop, by_name.get(stop.name), expected)
        for stop in sorted(stops, key=lambda stop: order.get(stop.name, len(order)))
    ]
    text = "\n".join(f"  {line}" for line in lines)
    return PlanError(f"the table is not as {expected.label}:\n{text}", hint=_hint(stops, expected))


def _line(stop: Difference, column: SourceColumn | None, expected: Expectation) -> str:
    match stop.kind:
        case DifferenceKind.NEW:
            assert column is not None, "a new column is one of the table's"
            remedy = "select without it in a custom_query"
            if expected.model is not None:
                remedy = f"declare {declaration(column, expected.ref)}, or {remedy}"
            return f"column {stop.name} is new: found {stop.table}, but {stop.message}; {remedy}"
        case DifferenceKind.LOST:
            return f"column {stop.name} is lost: expected {stop.model}, but {stop.message}; {stop.remedy}"
        case _ if stop.message.startswith(f"column {stop.name} "):
            return stop.message
        case _ if expected.model is None and stop.model is not None:
            return f"column {stop.name} is retyped: {stop.message}; {stop.remedy}"
        case _:
            return f"column {stop.name} does not fit: {stop.message}"


def _hint(stops: list[Difference], expected: Expectation) -> str:
    kinds = {stop.kind for stop in stops}
    ways = ["correct what is named, then run again"]
    if kinds == {DifferenceKind.NEW} and expected.on_drift is OnDrift.FAIL:
        ways.append("on_drift: ignore-new leaves new columns out, on_drift: evolve adds them")
    elif expected.on_drift is not OnDrift.EVOLVE and (expected.model is None and expected.baseline):
        ways.append("on_drift: evolve accepts the table as it is now, and records that in the metadata")
    elif expected.on_drift is not OnDrift.EVOLVE and kinds & {DifferenceKind.NEW, DifferenceKind.LOST}:
        ways.append(
            "on_drift: evolve adds new columns, and does without lost ones that the model accepts as None or has a "
            "default for"
        )
    return "; or ".join(ways)
