"""The mutants of a module: every change that the operators make, but for lines that are left out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from tests.mutants.operators import CatchNothing, DropStatement
from tests.mutants.survivors import Change, lines_of
from tests.mutants.targets import LEFT_OUT, OPERATORS

_LEFT_OUT = re.compile("|".join(LEFT_OUT))
_PAIRS = ((ast.Eq, ast.NotEq), (ast.Lt, ast.GtE), (ast.Gt, ast.LtE), (ast.Is, ast.IsNot), (ast.In, ast.NotIn))
_NEGATED = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}


@dataclass(frozen=True)
class Mutant:
    """One change of a module, and the module's whole text with it."""

    change: Change
    text: str


def mutants_of(module: str, text: str) -> list[Mutant]:
    """The mutants of a module of this text, in the order of its lines; of those that mean the same, one."""
    found = {}
    for _, mutated in sorted(_mutated(text), key=lambda pair: pair[0]):
        meaning = _meaning(mutated)
        change = _change(module, text, mutated)
        if meaning is not None and not _LEFT_OUT.search(change.line):
            found.setdefault(meaning, Mutant(change, mutated))
    return list(found.values())


def _mutated(text: str) -> Iterator[tuple[int, str]]:
    """The number of a changed line, and the text with the change."""
    nodes = list(ast_nodes(get_ast(text)))
    operators = [get_operator(f"core/{name}")() for name in OPERATORS]
    for operator in (*operators, CatchNothing(), DropStatement()):
        lines = [start[0] for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, line in enumerate(lines):
            yield line, mutate_code(text, operator, occurrence)


def _meaning(text: str) -> str | None:
    """What tells programs apart that are written otherwise; None for a text that is no program."""
    try:
        return ast.dump(_Negated().visit(ast.parse(text)))
    except SyntaxError:
        return None


class _Negated(ast.NodeTransformer):
    """Writes `not a < b` as `a >= b` and so on, and `not not a` as `a`."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.UnaryOp(ast.Not(), ast.Compare(left, [one], comparators)) if type(one) in _NEGATED:
                return ast.Compare(left, [_NEGATED[type(one)]()], comparators)
            case ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), inner)):
                return inner
        return node


def _change(module: str, text: str, mutated: str) -> Change:
    before, after = text.splitlines(), mutated.splitlines()
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    rest = range(1, min(len(before), len(after)) - same + 1)
    end = sum(1 for _ in takewhile(lambda back: before[-back] == after[-back], rest))
    old, new = before[same : len(before) - end], after[same : len(after) - end]
    place = next(place for place, lines in lines_of(text) if same + 1 in lines)
    return Change(module, place, " ".join(map(str.strip, old)), " ".join(map(str.strip, new)))
