"""Expressions: Oracle's to DuckDB's, each with its Oracle type.

The type decides: numbers beyond DECIMAL are bytes and go through the functions of `arithmetic`, moments with a time
zone are pairs, row ids are integers. Columns are found by the scope, subqueries are translated by `queries`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from tests.oracle_server.database import types, values
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.sql.parsing import name_of, type_text
from tests.oracle_server.wire.scalars import encode_number

if TYPE_CHECKING:
    from tests.oracle_server.sql.queries import Translator


from tests.oracle_server.sql.conversions import Conversions, varying
from tests.oracle_server.sql.typed import Scope, Typed, blob, moment_literal, null, number_literal, text_literal


class Expressions(Conversions):
    """Translates expressions of one scope; `translator` answers for subqueries, functions and the session."""

    def __init__(self, translator: Translator, scope: Scope) -> None:
        super().__init__(translator)
        self.scope = scope

    def __call__(self, node: exp.Expression | None) -> Typed:
        if node is None:
            raise unsupported("an expression that is missing")
        visit: Callable[[Any], Typed] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if visit is None:
            raise unsupported(f"{type(node).__name__} in {node.sql(dialect='oracle')[:80]}")
        return visit(node)

    # --- constants, columns, binds

    def _literal(self, node: exp.Literal) -> Typed:
        return text_literal(node.this) if node.is_string else number_literal(Decimal(node.this))

    def _national(self, node: exp.National) -> Typed:
        return text_literal(str(node.this))

    def _rawstring(self, node: exp.RawString) -> Typed:
        return text_literal(str(node.this))

    def _datestrtodate(self, node: exp.DateStrToDate) -> Typed:
        return moment_literal(*values.moment(str(node.this.this)), types.DATE)

    def _strtotime(self, node: exp.StrToTime) -> Typed:
        said = str(node.this.this)
        zoned = re.search(r"[+-]\d\d?:\d\d$|Z$|UTC$", said)
        return moment_literal(*values.moment(said), types.TIMESTAMP_TZ if zoned else _precise(said))

    def _null(self, _: exp.Null) -> Typed:
        return null()

    def _boolean(self, node: exp.Boolean) -> Typed:
        return Typed("TRUE" if node.this else "FALSE", types.BOOLEAN, bool(node.this))

    def _paren(self, node: exp.Paren) -> Typed:
        inner = self(node.this)
        return replace(inner, sql=f"({inner.sql})")

    def _placeholder(self, node: exp.Placeholder) -> Typed:
        return self.translator.bind(str(node.this))

    def _pseudocolumn(self, node: exp.Expression) -> Typed:
        return self._column(node)

    def _var(self, node: exp.Var) -> Typed:
        return self.translator.functions.call(self, str(node.this).upper(), [])

    def _column(self, node: exp.Expression) -> Typed:
        name = name_of(node.this)
        table = node.args.get("table")
        schema = node.args.get("db")
        if table is None:
            if name == "ROWNUM":
                return Typed("row_number() OVER ()", types.INTEGER)
            if name == "LEVEL" and self.scope.level:
                return Typed(self.scope.level, types.INTEGER)
        try:
            return self.scope.column(name, name_of(table) if table else None, name_of(schema) if schema else None)
        except OracleError as missing:
            if missing.code != 904:
                raise
            parts = [name_of(part) for part in (schema, table) if part is not None]
            whole = ".".join([*parts, name])
            if self.translator.functions.knows(whole):
                return self.translator.functions.call(self, whole, [])
            raise

    def _dot(self, node: exp.Dot) -> Typed:
        parts: list[str] = []
        at: exp.Expression = node
        while isinstance(at, exp.Dot):
            tail = at.expression
            parts.insert(0, name_of(tail) if isinstance(tail, exp.Identifier) else str(tail.this).upper())
            at = at.this
        parts.insert(0, name_of(at) if not isinstance(at, exp.Column) else name_of(at.this))
        called = node.expression
        arguments = list(called.expressions) if isinstance(called, exp.Anonymous) else []
        return self.translator.functions.call(self, ".".join(parts), arguments)

    def _anonymous(self, node: exp.Anonymous) -> Typed:
        return self.translator.functions.call(self, str(node.this).upper(), list(node.expressions))

    def _floor(self, node: exp.Floor) -> Typed:
        return self.translator.functions.call(self, "FLOOR", [node.this])

    def _ceil(self, node: exp.Ceil) -> Typed:
        return self.translator.functions.call(self, "CEIL", [node.this])

    # --- arithmetic

    def _operate(self, node: exp.Binary, sign: str, function: str) -> Typed:
        left, right = self(node.this), self(node.expression)
        if left.type.is_moment or right.type.is_moment or "INTERVAL" in left.type.name + right.type.name:
            return self._move(left, right, sign)
        left, right = self.numeric(left), self.numeric(right)
        binary = {"BINARY_DOUBLE", "BINARY_FLOAT"}
        if {left.type.name, right.type.name} & binary:
            pair = [f"ora_double({one.sql})" if one.is_big else f"({one.sql})::DOUBLE" for one in (left, right)]
            return Typed(f"({pair[0]} {sign} {pair[1]})", types.BINARY_DOUBLE)
        if left.is_big or right.is_big or sign == "/":
            return Typed(f"{function}({self.big(left).sql}, {self.big(right).sql})", types.NUMBER)
        kind = self._native_result(left.type, right.type, sign)
        if kind is None:
            return Typed(f"{function}({self.big(left).sql}, {self.big(right).sql})", types.NUMBER)
        wide = f"DECIMAL({kind.precision},{kind.scale})"
        if sign == "*":
            return Typed(f"({left.sql} * {right.sql})::{wide}", kind)
        return Typed(f"(({left.sql})::{wide} {sign} ({right.sql})::{wide})", kind)

    @staticmethod
    def _native_result(left: OracleType, right: OracleType, sign: str) -> OracleType | None:
        left_scale, right_scale = left.scale or 0, right.scale or 0
        if sign == "*":
            precision, scale = (left.precision or 38) + (right.precision or 38), left_scale + right_scale
        else:
            scale = max(left_scale, right_scale)
            precision = max((left.precision or 38) - left_scale, (right.precision or 38) - right_scale) + scale + 1
        return types.number(precision, scale) if precision <= 38 else None

    def _add(self, node: exp.Add) -> Typed:
        return self._operate(node, "+", "ora_add")

    def _sub(self, node: exp.Sub) -> Typed:
        return self._operate(node, "-", "ora_sub")

    def _mul(self, node: exp.Mul) -> Typed:
        return self._operate(node, "*", "ora_mul")

    def _div(self, node: exp.Div) -> Typed:
        return self._operate(node, "/", "ora_div")

    def _neg(self, node: exp.Neg) -> Typed:
        inner = self.numeric(self(node.this))
        if isinstance(inner.literal, Decimal):
            return number_literal(inner.literal.copy_negate())
        return replace(inner, sql=f"ora_neg({inner.sql})" if inner.is_big else f"(-{inner.sql})", literal=None)

    def _move(self, left: Typed, right: Typed, sign: str) -> Typed:
        interval = types.OracleType("INTERVAL DAY TO SECOND", 2, 6)
        if left.type.is_moment and right.type.is_moment:
            difference = f"(epoch_us({self.instant(left)}) - epoch_us({self.instant(right)}))"
            if left.type.name == right.type.name == "DATE":
                return Typed(
                    f"ora_div(ora_num({difference}::VARCHAR), {blob(encode_number(86_400_000_000))})", types.NUMBER
                )
            return Typed(difference, interval)
        if not left.type.is_moment and not right.type.is_moment:
            return Typed(f"({left.sql} {sign} {right.sql})", interval)
        moment, step = (left, right) if left.type.is_moment else (right, left)
        if step.type.name == "INTERVAL YEAR TO MONTH":
            months = f"{sign}({step.sql})" if sign == "-" else step.sql
            moved = f"make_timestamp(ora_add_months(epoch_us({self.instant(moment)}), ({months})::BIGINT))"
        else:
            micros = step.sql
            if step.type.is_number or step.type.is_character:
                days = self.big(step).sql
                micros = f"ora_plain(ora_round(ora_mul({days}, {blob(encode_number(86_400_000_000))}), 0))::BIGINT"
            if moment.type.name == "DATE" and step.type.name.startswith("INTERVAL"):
                micros = step.sql
            moved = f"({self.instant(moment)} {sign} to_microseconds({micros}))"
        if moment.type.name == "TIMESTAMP WITH TIME ZONE":
            return Typed(f"{{'utc': {moved}, 'minutes': ({moment.sql}).minutes}}", moment.type)
        kind = moment.type if step.type.name.startswith("INTERVAL") else types.DATE
        return Typed(moved if kind.name != "DATE" else f"date_trunc('second', {moved})", kind)

    # --- texts

    def _dpipe(self, node: exp.DPipe) -> Typed:
        left, right = self(node.this), self(node.expression)
        joined = f"nullif(concat({self.as_text(left)}, {self.as_text(right)}), '')"
        length = (left.type.length or 40) + (right.type.length or 40)
        kind = left.type if left.type.is_lob else types.varchar(min(4000, length))
        return Typed(joined, kind)

    def _trim(self, node: exp.Trim) -> Typed:
        inner = self(node.this)
        side = str(node.args.get("position") or "").upper()
        function = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, "trim")
        what = f", {self(node.expression).sql}" if node.args.get("expression") else ", ' '"
        return Typed(f"nullif({function}({self.as_text(inner)}{what}), '')", varying(inner.type))

    # --- conditions

    def _compare(self, node: exp.Binary, sign: str) -> Typed:
        if isinstance(node.this, exp.Tuple):
            return self._compare_tuples(node, sign)
        left, right = self.comparable(self(node.this), self(node.expression))
        return Typed(f"({left} {sign} {right})", types.BOOLEAN)

    def _compare_tuples(self, node: exp.Binary, sign: str) -> Typed:
        pairs = [
            self.comparable(self(one), self(other))
            for one, other in zip(node.this.expressions, node.expression.expressions, strict=True)
        ]
        left, right = ", ".join(pair[0] for pair in pairs), ", ".join(pair[1] for pair in pairs)
        return Typed(f"(({left}) {sign} ({right}))", types.BOOLEAN)

    def _eq(self, node: exp.EQ) -> Typed:
        return self._compare(node, "=")

    def _neq(self, node: exp.NEQ) -> Typed:
        return self._compare(node, "<>")

    def _gt(self, node: exp.GT) -> Typed:
        return self._compare(node, ">")

    def _gte(self, node: exp.GTE) -> Typed:
        return self._compare(node, ">=")

    def _lt(self, node: exp.LT) -> Typed:
        return self._compare(node, "<")

    def _lte(self, node: exp.LTE) -> Typed:
        return self._compare(node, "<=")

    def _between(self, node: exp.Between) -> Typed:
        value = self(node.this)
        low, high = self(node.args["low"]), self(node.args["high"])
        above, from_ = self.comparable(value, low)
        below, to = self.comparable(value, high)
        return Typed(f"({above} >= {from_} AND {below} <= {to})", types.BOOLEAN)

    def _in(self, node: exp.In) -> Typed:
        query = node.args.get("query")
        if query is not None:
            inner = self.translator.subquery(query, self.scope)
            if isinstance(node.this, exp.Tuple):
                left = "(" + ", ".join(self(one).sql for one in node.this.expressions) + ")"
                return Typed(f"({left} IN ({inner.sql}))", types.BOOLEAN)
            value = self(node.this)
            left, right = self.comparable(value, Typed("k1", inner.columns[0].typed.type))
            return Typed(f"({left} IN (SELECT {right} FROM ({inner.sql})))", types.BOOLEAN)
        if isinstance(node.this, exp.Tuple):
            tests = [self._compare_tuples(exp.EQ(this=node.this, expression=one), "=").sql for one in node.expressions]
        else:
            value = self(node.this)
            tests = [" = ".join(self.comparable(value, self(one))) for one in node.expressions]
        return Typed("(" + " OR ".join(tests) + ")", types.BOOLEAN)

    def _is(self, node: exp.Is) -> Typed:
        inner = self(node.this)
        what = node.expression
        if isinstance(what, exp.Null):
            return Typed(f"({inner.sql} IS NULL)", types.BOOLEAN)
        if isinstance(what, exp.Boolean):
            return Typed(f"({inner.sql} IS {'TRUE' if what.this else 'FALSE'})", types.BOOLEAN)
        word = what.name.upper()
        if word in ("NAN", "INFINITE"):
            function = "isnan" if word == "NAN" else "isinf"
            return Typed(f"{function}({inner.sql})", types.BOOLEAN)
        raise unsupported(f"IS {word}")

    def _not(self, node: exp.Not) -> Typed:
        return Typed(f"(NOT {self(node.this).sql})", types.BOOLEAN)

    def _and(self, node: exp.And) -> Typed:
        return Typed(f"({self(node.this).sql} AND {self(node.expression).sql})", types.BOOLEAN)

    def _or(self, node: exp.Or) -> Typed:
        return Typed(f"({self(node.this).sql} OR {self(node.expression).sql})", types.BOOLEAN)

    def _like(self, node: exp.Like) -> Typed:
        word = "NOT LIKE" if node.args.get("negate") else "LIKE"  # sqlglot parses NOT LIKE as one
        return Typed(f"({self.as_text(self(node.this))} {word} {self.as_text(self(node.expression))})", types.BOOLEAN)

    def _escape(self, node: exp.Escape) -> Typed:
        inner = self(node.this)
        return Typed(f"{inner.sql[:-1]} ESCAPE {self(node.expression).sql})", types.BOOLEAN)

    def _exists(self, node: exp.Exists) -> Typed:
        return Typed(f"EXISTS ({self.translator.subquery(node.this, self.scope).sql})", types.BOOLEAN)

    def _subquery(self, node: exp.Subquery) -> Typed:
        inner = self.translator.subquery(node, self.scope)
        return Typed(f"({inner.sql})", inner.columns[0].typed.type)

    _select = _subquery

    # --- choices

    def _case(self, node: exp.Case) -> Typed:
        subject = self(node.this) if node.this is not None else None
        tests, results = [], []
        for choice in node.args["ifs"]:
            if subject is None:
                tests.append(self(choice.this).sql)
            else:
                tests.append(" = ".join(self.comparable(subject, self(choice.this))))
            results.append(self(choice.args["true"]))
        default = node.args.get("default")
        results.append(self(default) if default is not None else null())
        unified, kind = self.unify(results)
        whens = " ".join(f"WHEN {test} THEN {result}" for test, result in zip(tests, unified[:-1], strict=True))
        return Typed(f"CASE {whens} ELSE {unified[-1]} END", kind)

    def _decodecase(self, node: exp.Expression) -> Typed:
        return self.translator.functions.call(self, "DECODE", list(node.expressions))

    # --- types

    def _cast(self, node: exp.Cast) -> Typed:
        return replace(self.cast(self(node.this), types.parse(type_text(node.args["to"]))), declared=True)

    def _attimezone(self, node: exp.AtTimeZone) -> Typed:
        inner = self(node.this)
        zone = self(node.args["zone"]).literal
        minutes = self.translator.session.minutes_of(str(zone))
        zoned = self.cast(inner, types.TIMESTAMP_TZ)
        return Typed(f"{{'utc': ({zoned.sql}).utc, 'minutes': {minutes}::SMALLINT}}", zoned.type)

    def _extract(self, node: exp.Extract) -> Typed:
        part, inner = node.this.name.upper(), self(node.expression)
        if part in ("TIMEZONE_HOUR", "TIMEZONE_MINUTE"):
            minutes = (
                f"({inner.sql}).minutes"
                if inner.type.name == "TIMESTAMP WITH TIME ZONE"
                else (str(self.translator.session.zone_minutes))
            )
            whole = (
                f"(sign({minutes}) * (abs({minutes}) // 60))"
                if part.endswith("HOUR")
                else (f"(sign({minutes}) * (abs({minutes}) % 60))")
            )
            return Typed(f"({whole})::INTEGER", types.INTEGER)
        if part in ("TIMEZONE_REGION", "TIMEZONE_ABBR"):
            return Typed("'UNKNOWN'", types.varchar(64))
        if inner.type.name == "INTERVAL DAY TO SECOND":
            micros = {"DAY": 86_400_000_000, "HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}[part]
            within = {"DAY": "", "HOUR": " % 86400000000", "MINUTE": " % 3600000000", "SECOND": " % 60000000"}[part]
            return Typed(f"(({inner.sql}{within}) // {micros})", types.INTEGER)
        wall = self.instant(inner)  # Oracle extracts hours of a zoned value in UTC
        return Typed(f"extract({part} FROM {wall})::BIGINT", types.INTEGER)

    def _interval(self, node: exp.Interval) -> Typed:
        amount = Decimal(str(node.this.this))
        unit = str(node.args.get("unit") or "DAY").upper()
        if unit.startswith(("YEAR", "MONTH")):
            months = int(amount * (12 if unit.startswith("YEAR") else 1))
            return Typed(f"{months}::BIGINT", types.OracleType("INTERVAL YEAR TO MONTH", 2, 0), months)
        each = {"DAY": 86_400, "HOUR": 3_600, "MINUTE": 60, "SECOND": 1}[unit.split()[0].split("(")[0].rstrip("S")]
        micros = int(amount * each * 1_000_000)
        return Typed(f"{micros}::BIGINT", types.OracleType("INTERVAL DAY TO SECOND", 2, 6), micros)

    def _currenttimestamp(self, node: exp.CurrentTimestamp) -> Typed:
        if node.args.get("sysdate"):
            return self.translator.functions.call(self, "SYSDATE", [])
        return self.translator.functions.call(self, "CURRENT_TIMESTAMP", [])

    def _currentdate(self, _: exp.Expression) -> Typed:
        return self.translator.functions.call(self, "CURRENT_DATE", [])

    def _localtimestamp(self, _: exp.Expression) -> Typed:
        return self.translator.functions.call(self, "LOCALTIMESTAMP", [])

    def _currentuser(self, _: exp.Expression) -> Typed:
        return self.translator.functions.call(self, "USER", [])

    def _systimestamp(self, _: exp.Expression) -> Typed:
        return self.translator.functions.call(self, "SYSTIMESTAMP", [])

    # --- windows and aggregates

    def _window(self, node: exp.Window) -> Typed:
        if str(node.args.get("over") or "OVER").upper() != "OVER":
            raise unsupported(f"{node.args['over']} after an aggregate")
        inner = self(node.this)
        clauses = []
        if partitions := node.args.get("partition_by"):
            clauses.append("PARTITION BY " + ", ".join(self(one).sql for one in partitions))
        if order := node.args.get("order"):
            clauses.append(self.order(order))
        if spec := node.args.get("spec"):
            clauses.append(spec.sql(dialect="duckdb"))
        if inner.sql.startswith("ora_"):
            raise unsupported("a sum of NUMBER without precision over a window")
        return Typed(f"{inner.sql} OVER ({' '.join(clauses)})", inner.type)

    def order(self, node: exp.Expression) -> str:
        return "ORDER BY " + ", ".join(self._ordered(one) for one in node.expressions)

    def _ordered(self, node: exp.Expression) -> str:
        key = node.this if isinstance(node, exp.Ordered) else node
        descends = bool(isinstance(node, exp.Ordered) and node.args.get("desc"))
        first = node.args.get("nulls_first") if isinstance(node, exp.Ordered) else None
        named = self.scope.outputs.get(name_of(key.this)) if isinstance(key, exp.Column) and not key.table else None
        is_position = isinstance(key, exp.Literal) and not key.is_string
        sql = str(key.this) if is_position else (named or self(key)).sql
        where = "FIRST" if (descends if first is None else first) else "LAST"
        return f"{sql} {'DESC' if descends else 'ASC'} NULLS {where}"

    def _withingroup(self, node: exp.WithinGroup) -> Typed:
        called, order = node.this, node.expression
        key = self(order.expressions[0].this)
        name = str(called.this).upper()
        if name == "LISTAGG":
            separator = self(called.expressions[1]).sql if len(called.expressions) > 1 else "''"
            value = self.as_text(self(called.expressions[0]))
            return Typed(f"string_agg({value}, {separator} {self.order(order)})", types.varchar(4000))
        function = {"PERCENTILE_DISC": "quantile_disc", "PERCENTILE_CONT": "quantile_cont"}[name]
        return Typed(f"{function}({key.sql}, {called.expressions[0].this})", key.type)

    def _groupconcat(self, node: exp.GroupConcat) -> Typed:
        order = node.this
        key = order.this if isinstance(order, exp.Order) else order
        separator = self(node.args["separator"]).sql if node.args.get("separator") else "''"
        ordering = " " + self.order(order) if isinstance(order, exp.Order) else ""
        return Typed(f"string_agg({self.as_text(self(key))}, {separator}{ordering})", types.varchar(4000))

    def _distinct(self, node: exp.Distinct) -> Typed:
        inner = self(node.expressions[0])
        return replace(inner, sql=f"DISTINCT {inner.sql}")


def _precise(said: str) -> OracleType:
    """The type of a TIMESTAMP literal: nanoseconds only where it has them."""
    return replace(types.TIMESTAMP, scale=9) if re.search(r"\.\d{7,9}", said) else types.TIMESTAMP
