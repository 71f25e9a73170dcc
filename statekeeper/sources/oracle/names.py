"""How a name in the configuration becomes a name in the database. Pure.

The rule is Oracle's own: a name is upper-cased, unless it stands in double quotes (`'"Mixed Case"'` in YAML). Where no
such object exists, one that is spelt exactly as written is taken, so that mixed-case tables can do without the quotes.
Whatever is found is quoted in every statement: reserved words and odd characters need nothing else.
"""

from __future__ import annotations


def spellings(written: str) -> tuple[str, ...]:
    """The names that a written one may mean, best first."""
    if len(written) > 1 and written.startswith('"') and written.endswith('"'):
        return (written[1:-1],)
    return tuple(dict.fromkeys((written.upper(), written)))
