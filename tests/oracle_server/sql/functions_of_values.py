"""Functions of numbers and texts."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

from tests.oracle_server.database import types
from tests.oracle_server.database.errors import unsupported
from tests.oracle_server.database.types import INTEGER, NUMBER, OracleType
from tests.oracle_server.sql import formats
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.functions import HANDLERS, Arguments, Functions, Handler, named
from tests.oracle_server.sql.typed import Typed, moment_literal, null, text


def _places(see: Expressions, arguments: Arguments) -> int:
    return int(see(arguments[1]).literal) if len(arguments) > 1 else 0


def _cut(see: Expressions, arguments: Arguments, big: str) -> Typed:
    value, places = see.numeric(see(arguments[0])), _places(see, arguments)
    if value.type.name in ("BINARY_DOUBLE", "BINARY_FLOAT"):
        native = {"ora_round": "round", "ora_trunc": "trunc"}[big]
        return Typed(f"{native}({value.sql})", value.type)
    if not value.is_big and places >= 0 and (value.type.scale or 0) <= places:
        return value
    cut = f"{big}({see.big(value).sql}, {places})"
    if not value.is_big and places >= 0 and (value.type.precision or 38) < 38:
        kind = types.number(min(38, (value.type.precision or 37) + 1), min(places, value.type.scale or 0))
        return Typed(f"ora_plain({cut})::{kind.storage}", kind)
    return Typed(cut, NUMBER)


@named("ROUND")
def _round(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    if see(arguments[0]).type.is_moment:
        return _trunc(self, see, arguments)
    return _cut(see, arguments, "ora_round")


@named("TRUNC")
def _trunc(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    if not value.type.is_moment:
        return _cut(see, arguments, "ora_trunc")
    model = str(see(arguments[1]).literal).upper() if len(arguments) > 1 else "DD"
    unit = {
        "DD": "day", "DDD": "day", "J": "day", "MM": "month", "MON": "month", "MONTH": "month", "YYYY": "year",
        "YEAR": "year", "YY": "year", "Y": "year", "Q": "quarter", "HH": "hour", "HH24": "hour", "MI": "minute",
        "IW": "week", "CC": "century",
    }.get(model)  # fmt: skip
    if unit is None:
        raise unsupported(f"TRUNC with {model}")
    return Typed(f"date_trunc('{unit}', {see.cast(value, types.DATE).sql})::TIMESTAMP", types.DATE)


@named("FLOOR", "CEIL")
def _whole(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    value = see.numeric(see(arguments[0]))
    if value.is_big:
        return Typed(f"ora_{name}({value.sql})", NUMBER)
    if value.type.is_number:
        return Typed(f"{name}({value.sql})::DECIMAL(38,0)", INTEGER)
    return Typed(f"{name}({value.sql})", value.type)


@named("ABS")
def _abs(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    return replace(value, sql=f"ora_abs({value.sql})" if value.is_big else f"abs({value.sql})", literal=None)


@named("SIGN")
def _sign(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    return Typed(f"ora_sign({value.sql})" if value.is_big else f"sign({value.sql})", INTEGER)


@named("MOD", "REMAINDER")
def _mod(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left, right = (see.numeric(see(argument)) for argument in arguments)
    if left.is_big or right.is_big:
        return Typed(f"ora_mod({see.big(left).sql}, {see.big(right).sql})", NUMBER)
    return Typed(f"CASE WHEN {right.sql} = 0 THEN {left.sql} ELSE {left.sql} % {right.sql} END", left.type)


@named("BITAND")
def _bitand(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left, right = (f"({see(argument).sql})::BIGINT" for argument in arguments)
    return Typed(f"({left} & {right})", INTEGER)


@named("POWER")
def _power(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left, right = (see.big(see.numeric(see(argument))) for argument in arguments)
    return Typed(f"ora_power({left.sql}, {right.sql})", NUMBER)


@named("TO_NUMBER")
def _to_number(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return replace(see.big(see(arguments[0])), literal=None) if arguments else null()


@named("TO_BINARY_DOUBLE")
def _to_binary_double(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return see.cast(see(arguments[0]), types.BINARY_DOUBLE)


@named("TO_BINARY_FLOAT")
def _to_binary_float(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return see.cast(see(arguments[0]), OracleType("BINARY_FLOAT"))


@named("NANVL")
def _nanvl(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value, other = see(arguments[0]), see(arguments[1])
    return Typed(
        f"CASE WHEN isnan({value.sql}) THEN {see.cast(other, value.type).sql} ELSE {value.sql} END", value.type
    )


@named("ORA_HASH")
def _ora_hash(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    buckets = int(see(arguments[1]).literal) + 1 if len(arguments) > 1 else 1 << 32
    seed = int(see(arguments[2]).literal) if len(arguments) > 2 else 0
    hashed = f"(hash(coalesce(({value.sql})::VARCHAR, ''), {seed}) % {buckets})"
    return Typed(f"{hashed}::BIGINT", INTEGER)


@named("TO_CHAR", "TO_NCHAR", "TO_CLOB", "TO_NCLOB")
def _to_char(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name
    value = see(arguments[0])
    kind = {"TO_CLOB": OracleType("CLOB"), "TO_NCLOB": OracleType("NCLOB")}.get(name, types.varchar(4000))
    if value.is_null:
        return null(kind)
    if len(arguments) > 1:
        model = str(see(arguments[1]).literal)
        if value.type.is_moment:
            return Typed(see.format_moment(value, model), types.varchar(max(len(model) * 2, 40)))
        return Typed(f"ora_format_number({see.big(value).sql}, {text(model)})", types.varchar(80))
    shown = see.as_text(value)
    if value.type.is_character:
        kind = kind if kind.is_lob or value.type.is_lob else replace(value.type, name="VARCHAR2")
    elif not kind.is_lob:
        kind = types.varchar(64)
    return Typed(shown, kind)


def _to_moment(kind: OracleType) -> Handler:
    def handle(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
        value = see(arguments[0])
        if value.type.is_moment:
            return see.cast(value, kind)
        model = str(see(arguments[1]).literal) if len(arguments) > 1 else self.session.default_format(kind)
        if value.is_null:
            return null(kind)
        if isinstance(value.literal, str):
            found = formats.parse_moment(value.literal, model)
            assert found is not None
            precise = replace(kind, scale=9) if found[0] % 1000 and kind.name == "TIMESTAMP" else kind
            return moment_literal(*found, precise)
        shown = see.as_text(value)
        utc = f"make_timestamp((ora_parse_nanos({shown}, {text(model)}) // 1000)::BIGINT)"
        if kind.name == "TIMESTAMP WITH TIME ZONE":
            utc = f"{{'utc': {utc}, 'minutes': ora_parse_offset({shown}, {text(model)})::SMALLINT}}"
        return Typed(utc, kind)

    return handle


HANDLERS["TO_DATE"] = _to_moment(types.DATE)
HANDLERS["TO_TIMESTAMP"] = _to_moment(types.TIMESTAMP)
HANDLERS["TO_TIMESTAMP_TZ"] = _to_moment(types.TIMESTAMP_TZ)


def _simple(function: str, kind: OracleType | None = None) -> Handler:
    def handle(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
        value = see(arguments[0])
        rest = "".join(f", {see(argument).sql}" for argument in arguments[1:])
        shown = f"{function}({see.as_text(value)}{rest})"
        result = kind or (value.type if value.type.is_character else types.varchar(4000))
        return Typed(f"nullif({shown}, '')" if kind is None else shown, result)

    return handle


for _oracle, _duck in (("UPPER", "upper"), ("LOWER", "lower"), ("REPLACE", "replace"), ("TRANSLATE", "translate"),
                       ("INITCAP", "initcap"), ("REVERSE", "reverse"), ("REGEXP_REPLACE",
                       "regexp_replace")):  # fmt: skip
    HANDLERS[_oracle] = _simple(_duck)
HANDLERS["LENGTH"] = _simple("length", INTEGER)
HANDLERS["ASCII"] = _simple("ascii", INTEGER)


@named("RTRIM", "LTRIM")
def _one_sided(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    value = see(arguments[0])
    what = see(arguments[1]).sql if len(arguments) > 1 else "' '"
    return Typed(f"nullif({name}({see.as_text(value)}, {what}), '')", types.varchar(value.type.length or 4000))


@named("LENGTHB")
def _lengthb(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"strlen({see.as_text(see(arguments[0]))})", INTEGER)


@named("DBMS_LOB.GETLENGTH")
def _lob_length(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    return Typed(f"{'octet_length' if value.type.name == 'BLOB' else 'length'}({value.sql})", INTEGER)


@named("SUBSTR", "DBMS_LOB.SUBSTR")
def _substr(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    in_lobs = self.name.startswith("DBMS_LOB")
    value = see(arguments[0])
    rest = [f"({see(argument).sql})::BIGINT" for argument in arguments[1:]]
    if in_lobs:  # there the amount comes before the offset
        rest.reverse()
    kind = types.varchar(min(4000, value.type.length or 4000))
    return Typed(f"nullif(substr({see.as_text(value)}, {', '.join(rest)}), '')", kind)


@named("EMPTY_CLOB", "EMPTY_BLOB")
def _empty_lob(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    """A value without characters or bytes, which is not NULL."""
    kind = OracleType(self.name.removeprefix("EMPTY_"))
    return Typed(f"''::{kind.storage}", kind)


@named("INSTR")
def _instr(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"instr({see.as_text(see(arguments[0]))}, {see(arguments[1]).sql})", INTEGER)


@named("CONCAT")
def _concat(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    joined = ", ".join(see.as_text(see(argument)) for argument in arguments)
    return Typed(f"nullif(concat({joined}), '')", types.varchar(4000))


@named("LPAD", "RPAD")
def _pad(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    width = see(arguments[1])
    filler = see(arguments[2]).sql if len(arguments) > 2 else "' '"
    length = int(width.literal) if isinstance(width.literal, Decimal) else 4000
    shown = f"{name}({see.as_text(see(arguments[0]))}, ({width.sql})::INTEGER, {filler})"
    return Typed(shown, types.varchar(length) if length <= 4000 else OracleType("CLOB"))


@named("CHR")
def _chr(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"chr(({see(arguments[0]).sql})::INTEGER)", types.varchar(4))


@named("RAWTOHEX")
def _rawtohex(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"upper(hex({see(arguments[0]).sql}))", types.varchar(4000))


@named("HEXTORAW")
def _hextoraw(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    length = len(value.literal) // 2 if isinstance(value.literal, str) else 2000
    return Typed(f"unhex({value.sql})", OracleType("RAW", length=max(1, length)))


@named("TO_BLOB")
def _to_blob(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(see(arguments[0]).sql, OracleType("BLOB"))


@named("UNISTR")
def _unistr(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    """A literal in which `\\XXXX` is a unit of UTF-16."""
    units = re.split(r"\\([0-9A-Fa-f]{4})", str(see(arguments[0]).literal))
    parts = [chr(int(part, 16)) if number % 2 else part for number, part in enumerate(units)]
    whole = "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16")
    return Typed(text(whole), OracleType("NVARCHAR2", length=max(1, len(whole))))


@named("STANDARD_HASH")
def _standard_hash(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"unhex(sha1({see.as_text(see(arguments[0]))}))", OracleType("RAW", length=20))


@named("ROWIDTOCHAR", "ROWIDTONCHAR")
def _rowidtochar(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(see.as_text(see(arguments[0])), types.varchar(18))


@named("CHARTOROWID")
def _chartorowid(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(see.row_id(see(arguments[0])), types.ROWID)


def _as_bigint(number: Typed) -> str:
    plain = f"ora_plain({number.sql})" if number.type.storage == "BLOB" else f"({number.sql})"
    return f"{plain}::BIGINT"


@named("DBMS_ROWID.ROWID_CREATE")
def _rowid_create(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    _kind, data_object, file, block, slot = (_as_bigint(see(argument)) for argument in arguments)
    packed = f"(({data_object} << 48) | ({file} << 38) | ({block} << 16) | least({slot}, 65535))"
    return Typed(packed, types.ROWID)


def _rowid_part(shift: int, mask: int) -> Handler:
    def handle(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
        return Typed(f"(({see.row_id(see(arguments[0]))} >> {shift}) & {mask})", INTEGER)

    return handle


HANDLERS["DBMS_ROWID.ROWID_OBJECT"] = _rowid_part(48, 0x7FFF)
HANDLERS["DBMS_ROWID.ROWID_RELATIVE_FNO"] = _rowid_part(38, 0x3FF)
HANDLERS["DBMS_ROWID.ROWID_BLOCK_NUMBER"] = _rowid_part(16, 0x3FFFFF)
HANDLERS["DBMS_ROWID.ROWID_ROW_NUMBER"] = _rowid_part(0, 0xFFFF)
