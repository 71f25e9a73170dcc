"""Functions that choose among values, and aggregates."""

from __future__ import annotations

from sqlglot import exp

from tests.oracle_server.database import types
from tests.oracle_server.database.types import INTEGER, NUMBER
from tests.oracle_server.sql.expressions import Expressions
from tests.oracle_server.sql.functions import Arguments, Functions, named
from tests.oracle_server.sql.typed import Typed, null


@named("NVL", "COALESCE")
def _coalesce(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    branches = [see(argument) for argument in arguments]
    unified, kind = see.unify(branches)
    return Typed(f"coalesce({', '.join(unified)})", kind)


@named("NVL2")
def _nvl2(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    unified, kind = see.unify([see(argument) for argument in arguments[1:]])
    return Typed(f"CASE WHEN {see(arguments[0]).sql} IS NOT NULL THEN {unified[0]} ELSE {unified[1]} END", kind)


@named("NULLIF")
def _nullif(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    left = see(arguments[0])
    one, other = see.comparable(left, see(arguments[1]))
    return Typed(f"CASE WHEN {one} = {other} THEN NULL ELSE {left.sql} END", left.type)


@named("DECODE")
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


@named("GREATEST", "LEAST")
def _extreme(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    unified, kind = see.unify([see(argument) for argument in arguments])
    nulls = " OR ".join(f"{one} IS NULL" for one in unified)
    return Typed(f"CASE WHEN {nulls} THEN NULL ELSE {name}({', '.join(unified)}) END", kind)


@named("COUNT")
def _count(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    what = "*" if isinstance(arguments[0], exp.Star) else see(arguments[0]).sql
    return Typed(f"count({what})", INTEGER, is_aggregate=True)


@named("MIN")
def _min(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    return Typed(f"min({value.sql})", value.type, is_aggregate=True)


@named("MAX")
def _max(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see(arguments[0])
    return Typed(f"max({value.sql})", value.type, is_aggregate=True)


@named("SUM")
def _sum(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    if value.is_big:
        return Typed(f"ora_sum(list({value.sql}))", NUMBER)
    if value.type.is_number:
        kind = types.number(38, value.type.scale or 0)
        return Typed(f"sum({value.sql})", kind)
    return Typed(f"sum({value.sql})", types.BINARY_DOUBLE)


@named("AVG")
def _avg(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    value = see.numeric(see(arguments[0]))
    if not value.type.is_number:
        return Typed(f"avg({value.sql})", types.BINARY_DOUBLE)
    return Typed(f"ora_avg(list({see.big(value).sql}))", NUMBER)


@named("ROW_NUMBER", "RANK", "DENSE_RANK")
def _ranking(self: Functions, _: Expressions, __: Arguments) -> Typed:
    return Typed(f"{self.name.lower()}()", INTEGER)


@named("NTILE")
def _ntile(_: Functions, see: Expressions, arguments: Arguments) -> Typed:
    return Typed(f"ntile(({see(arguments[0]).sql})::BIGINT)", INTEGER)


@named("LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE")
def _neighbour(self: Functions, see: Expressions, arguments: Arguments) -> Typed:
    name = self.name.lower()
    value = see(arguments[0])
    rest = f", ({see(arguments[1]).sql})::BIGINT" if len(arguments) > 1 else ""
    return Typed(f"{name}({value.sql}{rest})", value.type)
