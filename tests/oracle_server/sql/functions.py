"""Functions: Oracle's by name, each a translation to DuckDB."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlglot import exp

from tests.oracle_server.database import types, values
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.database.types import INTEGER, NUMBER, OracleType
from tests.oracle_server.sql import formats
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.typed import Typed, bind, moment_literal, null, number_literal, text, text_literal

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

Arguments = list[exp.Expression]
Handler = Callable[["Functions", Expressions, Arguments], Typed]
_HANDLERS: dict[str, Handler] = {}


def _named(*names: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return keep


class Functions:
    """All functions, for one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.name = ""

    def knows(self, name: str) -> bool:
        return name.removeprefix("SYS.") in _HANDLERS

    def call(self, expressions: Expressions, name: str, arguments: Arguments) -> Typed:
        handler = _HANDLERS.get(name.removeprefix("SYS."))
        if handler is None:
            raise OracleError(904, f'"{name}"')
        self.name = name.removeprefix("SYS.")  # for handlers of several names, which look before they translate
        return handler(self, expressions, arguments)


# --- the session and its clock


@_named("DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER")
def _scn(self: Functions, _: Expressions, __: Arguments) -> Typed:
    if not self.session.user.may("EXECUTE ON SYS.DBMS_FLASHBACK"):
        raise OracleError(904, '"DBMS_FLASHBACK"."GET_SYSTEM_CHANGE_NUMBER"')
    return replace(number_literal(Decimal(self.session.database.clock.tick())), type=INTEGER)


@_named("TIMESTAMP_TO_SCN")
def _timestamp_to_scn(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    moment = self.session.moment_of(see(arguments[0]))
    return number_literal(Decimal(self.session.database.clock.scn_at(moment)))


@_named("SCN_TO_TIMESTAMP")
def _scn_to_timestamp(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    scn = see(arguments[0]).literal
    moment = self.session.database.clock.time_of(int(scn or 0))
    return moment_literal(*values.moment(moment.replace(tzinfo=None)), types.TIMESTAMP)


@_named("SYS_CONTEXT")
def _sys_context(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    space, name = (str(see(argument).literal).upper() for argument in arguments[:2])
    value = self.session.context(space, name)
    return null(types.varchar(256)) if value is None else replace(text_literal(value), type=types.varchar(256))


@_named("USER")
def _user(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return replace(text_literal(self.session.user.name), type=types.varchar(128))


@_named("UID")
def _uid(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return number_literal(Decimal(self.session.user.number))


@_named("USERENV")
def _userenv(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = str(see(arguments[0]).literal).upper()
    return bind(self.session.context("USERENV", {"LANG": "LANGUAGE"}.get(name, name)))


@_named("SYSDATE")
def _sysdate(_: Functions, __: Expressions, ___: Arguments) -> Typed:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
    return moment_literal(*values.moment(now), types.DATE)


@_named("SYSTIMESTAMP")
def _systimestamp(_: Functions, __: Expressions, ___: Arguments) -> Typed:
    return moment_literal(*values.moment(dt.datetime.now(dt.UTC)), types.TIMESTAMP_TZ)


@_named("CURRENT_TIMESTAMP")
def _current_timestamp(self: Functions, _: Expressions, __: Arguments) -> Typed:
    nanos, _offset = values.moment(dt.datetime.now(dt.UTC))
    return moment_literal(nanos, self.session.zone_minutes, types.TIMESTAMP_TZ)


@_named("LOCALTIMESTAMP", "CURRENT_DATE")
def _localtimestamp(self: Functions, _: Expressions, __: Arguments) -> Typed:
    nanos, _offset = values.moment(dt.datetime.now(dt.UTC))
    return moment_literal(nanos + self.session.zone_minutes * 60 * 10**9, 0, types.TIMESTAMP)


@_named("SESSIONTIMEZONE")
def _sessiontimezone(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return replace(text_literal(self.session.zone_text), type=types.varchar(75))


@_named("DBTIMEZONE")
def _dbtimezone(_: Functions, __: Expressions, ___: Arguments) -> Typed:
    return replace(text_literal("+00:00"), type=types.varchar(6))


# --- nulls and choices


@_named("NVL", "COALESCE")
def _coalesce(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    branches = [see(argument) for argument in arguments]
    unified, kind = see.unify(branches)
    return Typed(f"coalesce({', '.join(unified)})", kind)


@_named("NVL2")
def _nvl2(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    unified, kind = see.unify([see(argument) for argument in arguments[1:]])
    return Typed(f"CASE WHEN {see(arguments[0]).sql} IS NOT NULL THEN {unified[0]} ELSE {unified[1]} END", kind)


@_named("NULLIF")
def _nullif(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left = see(arguments[0])
    one, other = see.comparable(left, see(arguments[1]))
    return Typed(f"CASE WHEN {one} = {other} THEN NULL ELSE {left.sql} END", left.type)


@_named("DECODE")
def _decode(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    subject = see(arguments[0])
    pairs, default = arguments[1:], None
    if len(pairs) % 2:
        pairs, default = pairs[:-1], pairs[-1]
    results = [see(result) for result in pairs[1::2]] + [see(default) if default is not None else null()]
    unified, kind = see.unify(results)
    whens = []
    for search, result in zip(pairs[0::2], unified[:-1], strict=True):
        sought = see(search)
        one, other = see.comparable(subject, sought)
        test = f"{subject.sql} IS NULL" if sought.is_null else f"{one} = {other}"
        whens.append(f"WHEN {test} THEN {result}")
    return Typed(f"CASE {' '.join(whens)} ELSE {unified[-1]} END", kind)


@_named("GREATEST", "LEAST")
def _extreme(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    unified, kind = see.unify([see(argument) for argument in arguments])
    nulls = " OR ".join(f"{one} IS NULL" for one in unified)
    return Typed(f"CASE WHEN {nulls} THEN NULL ELSE {name}({', '.join(unified)}) END", kind)


# --- numbers


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


@_named("ROUND")
def _round(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    if see(arguments[0]).type.is_moment:
        return _trunc(self, see, arguments)
    return _cut(see, arguments, "ora_round")


@_named("TRUNC")
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


@_named("FLOOR", "CEIL")
def _whole(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    value = see.numeric(see(arguments[0]))
    if value.is_big:
        return Typed(f"ora_{name}({value.sql})", NUMBER)
    if value.type.is_number:
        return Typed(f"{name}({value.sql})::DECIMAL(38,0)", INTEGER)
    return Typed(f"{name}({value.sql})", value.type)


@_named("ABS")
def _abs(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    return replace(value, sql=f"ora_abs({value.sql})" if value.is_big else f"abs({value.sql})", literal=None)


@_named("SIGN")
def _sign(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    return Typed(f"ora_sign({value.sql})" if value.is_big else f"sign({value.sql})", INTEGER)


@_named("MOD", "REMAINDER")
def _mod(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left, right = (see.numeric(see(argument)) for argument in arguments)
    if left.is_big or right.is_big:
        return Typed(f"ora_mod({see.big(left).sql}, {see.big(right).sql})", NUMBER)
    return Typed(f"CASE WHEN {right.sql} = 0 THEN {left.sql} ELSE {left.sql} % {right.sql} END", left.type)


@_named("BITAND")
def _bitand(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left, right = (f"({see(argument).sql})::BIGINT" for argument in arguments)
    return Typed(f"({left} & {right})", INTEGER)


@_named("POWER")
def _power(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left, right = (see.big(see.numeric(see(argument))) for argument in arguments)
    return Typed(f"ora_power({left.sql}, {right.sql})", NUMBER)


@_named("TO_NUMBER")
def _to_number(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return replace(see.big(see(arguments[0])), literal=None) if arguments else null()


@_named("TO_BINARY_DOUBLE")
def _to_binary_double(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return see.cast(see(arguments[0]), types.BINARY_DOUBLE)


@_named("TO_BINARY_FLOAT")
def _to_binary_float(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return see.cast(see(arguments[0]), OracleType("BINARY_FLOAT"))


@_named("NANVL")
def _nanvl(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value, other = see(arguments[0]), see(arguments[1])
    return Typed(
        f"CASE WHEN isnan({value.sql}) THEN {see.cast(other, value.type).sql} ELSE {value.sql} END", value.type
    )


@_named("ORA_HASH")
def _ora_hash(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    buckets = int(see(arguments[1]).literal) + 1 if len(arguments) > 1 else 1 << 32
    seed = int(see(arguments[2]).literal) if len(arguments) > 2 else 0
    hashed = f"(hash(coalesce(({value.sql})::VARCHAR, ''), {seed}) % {buckets})"
    return Typed(f"{hashed}::BIGINT", INTEGER)


# --- texts


@_named("TO_CHAR", "TO_NCHAR", "TO_CLOB", "TO_NCLOB")
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


_HANDLERS["TO_DATE"] = _to_moment(types.DATE)
_HANDLERS["TO_TIMESTAMP"] = _to_moment(types.TIMESTAMP)
_HANDLERS["TO_TIMESTAMP_TZ"] = _to_moment(types.TIMESTAMP_TZ)


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
    _HANDLERS[_oracle] = _simple(_duck)
_HANDLERS["LENGTH"] = _simple("length", INTEGER)
_HANDLERS["ASCII"] = _simple("ascii", INTEGER)


@_named("RTRIM", "LTRIM")
def _one_sided(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    value = see(arguments[0])
    what = see(arguments[1]).sql if len(arguments) > 1 else "' '"
    return Typed(f"nullif({name}({see.as_text(value)}, {what}), '')", types.varchar(value.type.length or 4000))


@_named("LENGTHB")
def _lengthb(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"strlen({see.as_text(see(arguments[0]))})", INTEGER)


@_named("DBMS_LOB.GETLENGTH")
def _lob_length(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    return Typed(f"{'octet_length' if value.type.name == 'BLOB' else 'length'}({value.sql})", INTEGER)


@_named("SUBSTR", "DBMS_LOB.SUBSTR")
def _substr(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    in_lobs = self.name.startswith("DBMS_LOB")
    value = see(arguments[0])
    rest = [f"({see(argument).sql})::BIGINT" for argument in arguments[1:]]
    if in_lobs:  # there the amount comes before the offset
        rest.reverse()
    kind = types.varchar(min(4000, value.type.length or 4000))
    return Typed(f"nullif(substr({see.as_text(value)}, {', '.join(rest)}), '')", kind)


@_named("INSTR")
def _instr(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"instr({see.as_text(see(arguments[0]))}, {see(arguments[1]).sql})", INTEGER)


@_named("CONCAT")
def _concat(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    joined = ", ".join(see.as_text(see(argument)) for argument in arguments)
    return Typed(f"nullif(concat({joined}), '')", types.varchar(4000))


@_named("LPAD", "RPAD")
def _pad(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    width = see(arguments[1])
    filler = see(arguments[2]).sql if len(arguments) > 2 else "' '"
    length = int(width.literal) if isinstance(width.literal, Decimal) else 4000
    shown = f"{name}({see.as_text(see(arguments[0]))}, ({width.sql})::INTEGER, {filler})"
    return Typed(shown, types.varchar(length) if length <= 4000 else OracleType("CLOB"))


@_named("CHR")
def _chr(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"chr(({see(arguments[0]).sql})::INTEGER)", types.varchar(4))


@_named("RAWTOHEX")
def _rawtohex(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"upper(hex({see(arguments[0]).sql}))", types.varchar(4000))


@_named("HEXTORAW")
def _hextoraw(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    length = len(value.literal) // 2 if isinstance(value.literal, str) else 2000
    return Typed(f"unhex({value.sql})", OracleType("RAW", length=max(1, length)))


@_named("STANDARD_HASH")
def _standard_hash(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"unhex(sha1({see.as_text(see(arguments[0]))}))", OracleType("RAW", length=20))


@_named("ROWIDTOCHAR", "ROWIDTONCHAR")
def _rowidtochar(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(see.as_text(see(arguments[0])), types.varchar(18))


@_named("CHARTOROWID")
def _chartorowid(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(see.row_id(see(arguments[0])), types.ROWID)


def _as_bigint(number: Typed) -> str:
    plain = f"ora_plain({number.sql})" if number.type.storage == "BLOB" else f"({number.sql})"
    return f"{plain}::BIGINT"


@_named("DBMS_ROWID.ROWID_CREATE")
def _rowid_create(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    _kind, data_object, file, block, slot = (_as_bigint(see(argument)) for argument in arguments)
    packed = f"(({data_object} << 48) | ({file} << 38) | ({block} << 16) | least({slot}, 65535))"
    return Typed(packed, types.ROWID)


def _rowid_part(shift: int, mask: int) -> Handler:
    def handle(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
        return Typed(f"(({see.row_id(see(arguments[0]))} >> {shift}) & {mask})", INTEGER)

    return handle


_HANDLERS["DBMS_ROWID.ROWID_OBJECT"] = _rowid_part(48, 0x7FFF)
_HANDLERS["DBMS_ROWID.ROWID_RELATIVE_FNO"] = _rowid_part(38, 0x3FF)
_HANDLERS["DBMS_ROWID.ROWID_BLOCK_NUMBER"] = _rowid_part(16, 0x3FFFFF)
_HANDLERS["DBMS_ROWID.ROWID_ROW_NUMBER"] = _rowid_part(0, 0xFFFF)


# --- moments


@_named("SYS_EXTRACT_UTC")
def _sys_extract_utc(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    if not value.type.name.endswith("ZONE"):
        value = see.cast(value, types.TIMESTAMP_TZ)
    return Typed(see.instant(value), OracleType("TIMESTAMP", scale=value.type.scale or 6))


@_named("FROM_TZ")
def _from_tz(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.cast(see(arguments[0]), types.TIMESTAMP)
    minutes = self.session.minutes_of(str(see(arguments[1]).literal))
    return Typed(f"{{'utc': {value.sql} - to_minutes({minutes}), 'minutes': {minutes}::SMALLINT}}", types.TIMESTAMP_TZ)


@_named("TZ_OFFSET")
def _tz_offset(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    minutes = self.session.minutes_of(str(see(arguments[0]).literal))
    sign = "-" if minutes < 0 else "+"
    return replace(text_literal(f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"), type=types.varchar(7))


@_named("ADD_MONTHS")
def _add_months(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.cast(see(arguments[0]), types.DATE)
    months = f"({see(arguments[1]).sql})::BIGINT"
    return Typed(f"make_timestamp(ora_add_months(epoch_us({value.sql}), {months}))", types.DATE)


@_named("LAST_DAY")
def _last_day(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.cast(see(arguments[0]), types.DATE).sql
    return Typed(f"(last_day({value})::TIMESTAMP + ({value} - date_trunc('day', {value})))", types.DATE)


@_named("NUMTODSINTERVAL")
def _numtodsinterval(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    each = {"DAY": 86_400, "HOUR": 3_600, "MINUTE": 60, "SECOND": 1}[str(see(arguments[1]).literal).upper()]
    return Typed(
        f"(({see(arguments[0]).sql}) * {each * 1_000_000})::BIGINT", OracleType("INTERVAL DAY TO SECOND", 2, 6)
    )


# --- aggregates and windows


@_named("COUNT")
def _count(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    what = "*" if isinstance(arguments[0], exp.Star) else see(arguments[0]).sql
    return Typed(f"count({what})", INTEGER, is_count=True)


@_named("MIN")
def _min(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    return Typed(f"min({value.sql})", value.type)


@_named("MAX")
def _max(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    return Typed(f"max({value.sql})", value.type)


@_named("SUM")
def _sum(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    if value.is_big:
        return Typed(f"ora_sum(list({value.sql}))", NUMBER)
    if value.type.is_number:
        kind = types.number(38, value.type.scale or 0)
        return Typed(f"sum({value.sql})", kind)
    return Typed(f"sum({value.sql})", types.BINARY_DOUBLE)


@_named("AVG")
def _avg(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    if not value.type.is_number:
        return Typed(f"avg({value.sql})", types.BINARY_DOUBLE)
    return Typed(f"ora_avg(list({see.big(value).sql}))", NUMBER)


@_named("ROW_NUMBER", "RANK", "DENSE_RANK")
def _ranking(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return Typed(f"{self.name.lower()}()", INTEGER)


@_named("NTILE")
def _ntile(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"ntile(({see(arguments[0]).sql})::BIGINT)", INTEGER)


@_named("LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE")
def _neighbour(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    value = see(arguments[0])
    rest = f", ({see(arguments[1]).sql})::BIGINT" if len(arguments) > 1 else ""
    return Typed(f"{name}({value.sql}{rest})", value.type)
