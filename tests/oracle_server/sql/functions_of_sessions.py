"""Functions of the session, its clock and its settings, and of moments."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

from tests.oracle_server.database import types, values
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.types import INTEGER, OracleType
from tests.oracle_server.sql.arithmetic import decode_number
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.functions import Arguments, Functions, named
from tests.oracle_server.sql.typed import Typed, bind, moment_literal, null, number_literal, text_literal


@named("DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER")
def _scn(self: Functions, _: Expressions, __: Arguments) -> Typed:
    if not self.session.user.may("EXECUTE ON SYS.DBMS_FLASHBACK"):
        raise OracleError(904, '"DBMS_FLASHBACK"."GET_SYSTEM_CHANGE_NUMBER"')
    return replace(number_literal(Decimal(self.session.database.clock.tick())), type=INTEGER)


@named("TIMESTAMP_TO_SCN")
def _timestamp_to_scn(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value, database = see(arguments[0]), self.session.database
    moment = self.session.moment_of(value)
    if value.type.name == "TIMESTAMP":
        moment -= dt.timedelta(minutes=database.clock_minutes)
    moment -= dt.timedelta(seconds=database.clock.error)
    return number_literal(Decimal(database.clock.scn_at(moment)))


def _whole(self: Functions, value: Typed) -> int:
    """A constant number."""
    number = self.session.reading().execute(f"SELECT {value.sql}").fetchall()[0][0]
    return int(decode_number(number) if value.is_big else number)


@named("SCN_TO_TIMESTAMP")
def _scn_to_timestamp(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    database = self.session.database
    moment = database.clock.time_of(_whole(self, see(arguments[0])))
    moment += dt.timedelta(minutes=database.clock_minutes)
    moment += dt.timedelta(seconds=database.clock.error - database.apply_lag)
    return moment_literal(*values.moment(moment.replace(tzinfo=None)), types.TIMESTAMP)


@named("SYS_CONTEXT")
def _sys_context(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    space, name = (str(see(argument).literal).upper() for argument in arguments[:2])
    value = self.session.context(space, name)
    return null(types.varchar(256)) if value is None else replace(text_literal(value), type=types.varchar(256))


@named("USER")
def _user(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return replace(text_literal(self.session.user.name), type=types.varchar(128))


@named("UID")
def _uid(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return number_literal(Decimal(self.session.user.number))


@named("USERENV")
def _userenv(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = str(see(arguments[0]).literal).upper()
    return bind(self.session.context("USERENV", {"LANG": "LANGUAGE"}.get(name, name)))


@named("SYSDATE")
def _sysdate(self: Functions, __: Expressions, ___: Arguments) -> Typed:
    now = self.session.database.clock.now().replace(tzinfo=None, microsecond=0)
    return moment_literal(*values.moment(now), types.DATE)


@named("SYSTIMESTAMP")
def _systimestamp(self: Functions, __: Expressions, ___: Arguments) -> Typed:
    return moment_literal(*values.moment(self.session.database.clock.now()), types.TIMESTAMP_TZ)


@named("CURRENT_TIMESTAMP")
def _current_timestamp(self: Functions, _: Expressions, __: Arguments) -> Typed:
    nanos, _offset = values.moment(self.session.database.clock.now())
    return moment_literal(nanos, self.session.zone_minutes, types.TIMESTAMP_TZ)


@named("LOCALTIMESTAMP", "CURRENT_DATE")
def _localtimestamp(self: Functions, _: Expressions, __: Arguments) -> Typed:
    nanos, _offset = values.moment(self.session.database.clock.now())
    return moment_literal(nanos + self.session.zone_minutes * 60 * 10**9, 0, types.TIMESTAMP)


@named("SESSIONTIMEZONE")
def _sessiontimezone(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return replace(text_literal(self.session.zone_text), type=types.varchar(75))


@named("DBTIMEZONE")
def _dbtimezone(_: Functions, __: Expressions, ___: Arguments) -> Typed:
    return replace(text_literal("+00:00"), type=types.varchar(6))


@named("SYS_EXTRACT_UTC")
def _sys_extract_utc(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    if not value.type.name.endswith("ZONE"):
        value = see.cast(value, types.TIMESTAMP_TZ)
    instant, last = see.instant(value), "TIMESTAMP '9999-12-31 23:59:59.999999'"
    beyond = "error('ORA-01841: (full) year must be between -4713 and +9999, and not be 0')"
    checked = f"CASE WHEN {instant} > {last} THEN {beyond} ELSE {instant} END"
    return Typed(checked, OracleType("TIMESTAMP", scale=value.type.scale or 6))


@named("FROM_TZ")
def _from_tz(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.cast(see(arguments[0]), types.TIMESTAMP)
    minutes = self.session.minutes_of(str(see(arguments[1]).literal))
    return Typed(f"{{'utc': {value.sql} - to_minutes({minutes}), 'minutes': {minutes}::SMALLINT}}", types.TIMESTAMP_TZ)


@named("TZ_OFFSET")
def _tz_offset(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    minutes = self.session.minutes_of(str(see(arguments[0]).literal))
    sign = "-" if minutes < 0 else "+"
    return replace(text_literal(f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"), type=types.varchar(7))


@named("ADD_MONTHS")
def _add_months(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.cast(see(arguments[0]), types.DATE)
    months = f"({see(arguments[1]).sql})::BIGINT"
    return Typed(f"make_timestamp(ora_add_months(epoch_us({value.sql}), {months}))", types.DATE)


@named("LAST_DAY")
def _last_day(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.cast(see(arguments[0]), types.DATE).sql
    return Typed(f"(last_day({value})::TIMESTAMP + ({value} - date_trunc('day', {value})))", types.DATE)


@named("NUMTODSINTERVAL")
def _numtodsinterval(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    each = {"DAY": 86_400, "HOUR": 3_600, "MINUTE": 60, "SECOND": 1}[str(see(arguments[1]).literal).upper()]
    return Typed(
        f"(({see(arguments[0]).sql}) * {each * 1_000_000})::BIGINT", OracleType("INTERVAL DAY TO SECOND", 2, 6)
    )
