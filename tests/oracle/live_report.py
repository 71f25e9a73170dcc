"""What a real Oracle Database answered, as lines that can be pasted into a public issue.

An answer is made of codes, numbers and words of these tests. What a login or a database is called, and any secret, is
removed from it all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PARTS = re.compile(r"[\w.$#-]{3,}")
_PLAIN = frozenset({"localhost", "description", "address", "protocol", "host", "port", "connect_data", "service_name"})


@dataclass
class LiveReport:
    """The lines, in order."""

    secrets: dict[str, str]
    """Replacements by the secret text that they replace."""
    lines: list[str] = field(default_factory=list)

    @classmethod
    def of_login(cls, *, dsn: str, user: str, password: str) -> LiveReport:
        return cls({"password": password, "user": user, "dsn": dsn})

    def add(self, question: str, answer: str, *, is_as_believed: bool) -> None:
        mark = "as believed" if is_as_believed else "OTHERWISE"
        self.lines.append(f"{mark:<12}{question}: {self._public(answer)}")

    def text(self) -> str:
        return "\n".join(["", "--- report: paste this into an issue ---", *self.lines, "--- end of report ---", ""])

    def _public(self, text: str) -> str:
        for shown, secret in self.secrets.items():
            for part in {secret, *(_PARTS.findall(secret) if shown == "dsn" else ())}:
                if part.casefold() not in _PLAIN:
                    text = re.sub(rf"(?<![\w]){re.escape(part)}(?![\w])", f"<{shown}>", text, flags=re.IGNORECASE)
        return re.sub(r"\bSK_LIVE_\w+", "<table>", text)
