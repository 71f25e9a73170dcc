"""Mutation operators of our own: what cosmic-ray lacks, and a sequence of durable steps needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Name
from parso.tree import NodeOrLeaf

Span = tuple[tuple[int, int], tuple[int, int]]


class CatchNothing(Operator):
    """Has an `except` catch nothing. cosmic-ray's own operator does not know names with dots."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Span]:
        if node.type == "except_clause":
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        del index  # there is one position
        node.children[1] = Name("()", node.children[1].start_pos, prefix=" ")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("try: f()\nexcept a.E: pass\n", "try: f()\nexcept (): pass\n"),)


class DropStatement(Operator):
    """Leaves out a call whose value nobody takes, or a `raise`: a sync that is forgotten, a check that is not made."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Span]:
        if node.type == "simple_stmt" and _is_call_or_raise(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        del index  # there is one position
        first = node.children[0]
        node.children[0] = Name("pass", first.start_pos, prefix=first.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return Example("f(x)\n", "pass\n"), Example("await f(x)\n", "pass\n"), Example("raise E\n", "pass\n")


def _is_call_or_raise(statement: Any) -> bool:
    if statement.type in {"raise_stmt", "keyword"}:
        return statement.get_first_leaf().value == "raise"
    return statement.type == "atom_expr" and statement.children[-1].get_first_leaf().value == "("
