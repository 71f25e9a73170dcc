"""Conversions: the same value in another type, asked for or implied, and pairs of values made comparable."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.oracle_server.database import types, values
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.sql import formats
from tests.oracle_server.sql.typed import Typed, big_literal, moment_literal, null, number_literal, text
from tests.oracle_server.wire import rowids

if TYPE_CHECKING:
    from tests.oracle_server.sql.queries import Translator


class Conversions:
    """Converts for one statement; the session behind `translator` has the time zone and the formats."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def big(self, typed: Typed) -> Typed:
        """The same number as Oracle's bytes."""
        if typed.is_big:
            return typed
        if typed.is_null:
            return null(types.NUMBER)
        if typed.type.is_number:
            if isinstance(typed.literal, Decimal):
                return big_literal(typed.literal)
            return Typed(f"ora_num(({typed.sql})::VARCHAR)", types.NUMBER)
        if typed.type.name in ("BINARY_DOUBLE", "BINARY_FLOAT"):
            return Typed(f"ora_num_double({typed.sql})", types.NUMBER)
        if typed.type.is_character:
            if isinstance(typed.literal, str):
                return big_literal(values.exact(typed.literal))
            return Typed(f"ora_num({typed.sql})", types.NUMBER)
        raise OracleError(932, "NUMBER", typed.type.name)

    def numeric(self, typed: Typed) -> Typed:
        """A number, from a text where need be."""
        if typed.is_null:
            return null(types.INTEGER)
        if typed.type.is_character:
            return number_literal(values.exact(typed.literal)) if isinstance(typed.literal, str) else self.big(typed)
        return typed

    def instant(self, typed: Typed) -> str:
        """The timestamp behind a moment: UTC where it has a zone, wall time where not."""
        return f"({typed.sql}).utc" if typed.type.name == "TIMESTAMP WITH TIME ZONE" else typed.sql

    def as_text(self, typed: Typed) -> str:
        """Implicit TO_CHAR."""
        kind = typed.type
        if typed.is_null:
            return "NULL::VARCHAR"
        if kind.is_character or kind.name == "UROWID":
            return typed.sql
        if kind.is_number:
            return (
                f"ora_text({self.big(typed).sql})" if typed.is_big or (kind.scale or 0) else f"({typed.sql})::VARCHAR"
            )
        if kind.is_moment:
            return self.format_moment(typed, self.translator.session.default_format(kind))
        if kind.name == "ROWID":
            return f"ora_rowid_text({typed.sql})"
        if kind.name in types.BYTES:
            return f"upper(hex({typed.sql}))"
        if kind.name.startswith("INTERVAL "):
            return _interval_text(typed)
        return f"({typed.sql})::VARCHAR"

    def format_moment(self, typed: Typed, model: str) -> str:
        unit, factor = ("epoch_ns", "") if (typed.type.scale or 0) > 6 else ("epoch_us", " * 1000")
        minutes = "0"
        if typed.type.name == "TIMESTAMP WITH TIME ZONE":
            minutes = f"({typed.sql}).minutes"
        elif typed.type.name == "TIMESTAMP WITH LOCAL TIME ZONE":
            minutes = str(self.translator.session.zone_minutes)
        era = formats.ERAS[self.translator.session.settings["NLS_CALENDAR"].upper()]
        return f"ora_format_moment({unit}({self.instant(typed)})::HUGEINT{factor}, {minutes}, {text(model)}, {era})"

    def comparable(self, left: Typed, right: Typed) -> tuple[str, str]:
        """Both sides in one form that compares as Oracle compares them."""
        kinds = {left.type.name, right.type.name}
        if left.is_null or right.is_null:
            return left.sql if not left.is_null else "NULL", right.sql if not right.is_null else "NULL"
        if "ROWID" in kinds:
            return self.row_id(left), self.row_id(right)
        if left.type.is_moment or right.type.is_moment:
            return self._moments(left, right)
        if left.type.is_number or right.type.is_number or kinds & {"BINARY_DOUBLE", "BINARY_FLOAT"}:
            left, right = self.numeric(left), self.numeric(right)
            if kinds & {"BINARY_DOUBLE", "BINARY_FLOAT"}:
                pair = [f"ora_double({one.sql})" if one.is_big else one.sql for one in (left, right)]
                return pair[0], pair[1]
            if left.is_big or right.is_big:
                return self.big(left).sql, self.big(right).sql
            return left.sql, right.sql
        fixed = [one.type.name in ("CHAR", "NCHAR") for one in (left, right)]
        if all(fixed):
            pair = [
                text(one.literal.rstrip()) if isinstance(one.literal, str) else f"rtrim({one.sql}, ' ')"
                for one in (left, right)
            ]
            return pair[0], pair[1]
        if kinds & types.BYTES:
            pair = [f"unhex({one.sql})" if one.type.is_character else one.sql for one in (left, right)]
            return pair[0], pair[1]
        if left.type.is_character and right.type.is_character:
            return left.sql, right.sql
        return left.sql, right.sql

    def row_id(self, typed: Typed) -> str:
        if typed.type.name == "ROWID":
            return typed.sql
        if isinstance(typed.literal, str):
            try:
                return str(rowids.from_text(typed.literal))
            except ValueError as reason:
                raise OracleError(1410) from reason
        return f"ora_rowid({typed.sql})"

    def _moments(self, left: Typed, right: Typed) -> tuple[str, str]:
        zoned = [one.type.name.endswith("TIME ZONE") for one in (left, right)]
        pair = []
        for one, has_zone in zip((left, right), zoned, strict=True):
            if one.type.is_character:
                one = self.cast(one, types.TIMESTAMP)  # noqa: PLW2901  (the same value, as a moment)
            sql = self.instant(one)
            if any(zoned) and not has_zone:  # wall time of the session against instants
                sql = f"({sql} - to_minutes({self.translator.session.zone_minutes}))"
            pair.append(sql)
        return pair[0], pair[1]

    def unify(self, branches: list[Typed]) -> tuple[list[str], OracleType]:
        """Branches in one type."""
        known = [branch.type for branch in branches if not branch.is_null]
        if not known:
            return [branch.sql for branch in branches], types.varchar(1)
        kind = known[0]
        for other in known[1:]:
            kind = types.wider(kind, other)
        if kind.name in ("CHAR", "NCHAR"):
            kind = varying(kind) if len(set(known)) > 1 or len(branches) > len(known) else kind
        return [self.cast(branch, kind, checked=False).sql for branch in branches], kind

    def cast(self, typed: Typed, kind: OracleType, *, checked: bool = True) -> Typed:
        """CAST, and the implicit conversions."""
        source = typed.type
        if typed.is_null:
            return null(kind)
        if source == kind:
            return typed
        if kind.is_number:
            return self._cast_number(typed, kind)
        if kind.name in ("BINARY_DOUBLE", "BINARY_FLOAT"):
            inner = f"ora_double({typed.sql})" if typed.is_big else f"({typed.sql})"
            return Typed(f"{inner}::{kind.storage}", kind)
        if kind.is_character:
            shown = self.as_text(typed)
            if checked and kind.length is not None:
                shown = (
                    f"left({shown}, {kind.length})"
                    if kind.name not in ("CHAR", "NCHAR")
                    else (f"rpad({shown}, {kind.length}, ' ')")
                )
            return Typed(shown, kind)
        if kind.is_moment:
            return self._cast_moment(typed, kind)
        if kind.name == "ROWID":
            return Typed(self.row_id(typed), kind)
        if kind.name in types.BYTES and source.is_character:
            return Typed(f"unhex({typed.sql})", kind)
        return Typed(f"({typed.sql})" if kind.storage == source.storage else f"({typed.sql})::{kind.storage}", kind)

    def _cast_number(self, typed: Typed, kind: OracleType) -> Typed:
        typed = self.numeric(typed)
        if not kind.fits_decimal:
            big = self.big(typed)
            return (
                replace(big, type=kind)
                if kind.precision is None or kind.name == "FLOAT"
                else Typed(f"ora_round({big.sql}, {kind.scale})", kind)
            )
        if typed.is_big:
            return Typed(f"ora_plain(ora_round({typed.sql}, {kind.scale}))::{kind.storage}", kind)
        if typed.type.name in ("BINARY_DOUBLE", "BINARY_FLOAT"):
            return Typed(f"ora_plain(ora_round(ora_num_double({typed.sql}), {kind.scale}))::{kind.storage}", kind)
        return Typed(f"({typed.sql})::{kind.storage}", kind, typed.literal)

    def _cast_moment(self, typed: Typed, kind: OracleType) -> Typed:
        source = typed.type
        zone = self.translator.session.zone_minutes
        if source.is_character:
            if isinstance(typed.literal, str):
                return moment_literal(*self._read(typed.literal, kind), kind)
            model = self.translator.session.default_format(kind)
            stored = f"make_timestamp((ora_parse_nanos({typed.sql}, {text(model)}) // 1000)::BIGINT)"
            return Typed(stored, kind)
        if not source.is_moment:
            raise OracleError(932, kind.name, source.name)
        wall = self.instant(typed)
        if source.name == "TIMESTAMP WITH TIME ZONE" and not kind.name.endswith("ZONE"):
            wall = f"(({typed.sql}).utc + to_minutes(({typed.sql}).minutes::INTEGER))"
        elif source.name == "TIMESTAMP WITH LOCAL TIME ZONE" and not kind.name.endswith("ZONE"):
            wall = f"({typed.sql} + to_minutes({zone}))"
        elif kind.name.endswith("ZONE") and not source.name.endswith("ZONE"):
            wall = f"({typed.sql} - to_minutes({zone}))"
        if kind.name == "DATE":
            return Typed(f"date_trunc('second', {wall})::TIMESTAMP", kind)
        scaled = f"({wall})::{'TIMESTAMP_NS' if (kind.scale or 0) > 6 else 'TIMESTAMP'}"
        if kind.name == "TIMESTAMP WITH TIME ZONE":
            return Typed(f"{{'utc': {scaled}, 'minutes': {zone}::SMALLINT}}", kind)
        return Typed(scaled, kind)

    def _read(self, said: str, kind: OracleType) -> tuple[int, int]:
        try:
            return values.moment(said)
        except OracleError:
            found = formats.parse_moment(said, self.translator.session.default_format(kind))
            if found is None:
                raise
            return found


def varying(kind: OracleType) -> OracleType:
    if kind.name == "CHAR":
        return replace(kind, name="VARCHAR2")
    if kind.name == "NCHAR":
        return replace(kind, name="NVARCHAR2")
    return kind if kind.is_character else types.varchar(40)


def _interval_text(typed: Typed) -> str:
    """As TO_CHAR writes an interval of two digits in its first part: +DD HH:MI:SS.FFFFFF or +YY-MM."""
    size = f"abs({typed.sql})"
    if typed.type.name == "INTERVAL YEAR TO MONTH":
        parts = f"format('{{:02d}}-{{:02d}}', {size} // 12, {size} % 12)"
    else:
        second, micro = f"{size} // 1000000", f"{size} % 1000000"
        clock = f"({second}) // 3600 % 24, ({second}) // 60 % 60, ({second}) % 60, {micro}"
        parts = f"format('{{:02d}} {{:02d}}:{{:02d}}:{{:02d}}.{{:06d}}', ({second}) // 86400, {clock})"
    return f"CASE WHEN {typed.sql} < 0 THEN '-' WHEN {typed.sql} >= 0 THEN '+' END || {parts}"
