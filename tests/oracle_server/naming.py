"""Naming: identifiers in the statements that are read by pattern, and lists that are cut outside of brackets."""

from tests.oracle_server.database.errors import OracleError

NAME = r'(?:"[^"]+"|[A-Za-z][\w$#]*)'
QUALIFIED = rf"(?:({NAME})\s*\.\s*)?({NAME})"


def plain_name(text: str) -> str:
    return text[1:-1] if text.startswith('"') else text.upper()


def split_outside(text: str, at: str) -> list[str]:
    """Parts between separators that stand outside of quotes and brackets."""
    out, depth, quoted, start = [], 0, False, 0
    for place, sign in enumerate(text):
        if sign == "'":
            quoted = not quoted
        elif not quoted:
            depth += (sign == "(") - (sign == ")")
            if sign == at and depth == 0:
                out.append(text[start:place])
                start = place + 1
    return [*out, text[start:]]


def check_length(name: str, limit: int) -> None:
    """Refuse a name of more bytes than the database's names may have."""
    if len(name.encode()) > limit:
        raise OracleError(972, name[:40])
