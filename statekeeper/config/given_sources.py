"""The databases of a call in Python: named sections as in a configuration, or one Oracle database.

Checks that exactly one of the two was given. `statekeeper.config.loader` checks the sections' content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import SecretStr

from statekeeper.config.sections.source import SourceSection
from statekeeper.errors import UsageError

_UNNAMED = "oracle"
"""The source's name if no entry has one, so that only the entry's own problem is reported."""


@dataclass(frozen=True)
class OracleLogin:
    """One Oracle database, from the parameters of `DataExtractor`."""

    host: str | None
    port: int
    service: str | None
    user: str | None
    password: str | SecretStr | None = field(repr=False)

    @property
    def given(self) -> list[str]:
        """The parameters that were given, except the port, which has a default."""
        return [f"oracle_{name}" for name in ("host", "service", "user", "password") if getattr(self, name)]

    @property
    def missing(self) -> list[str]:
        """The parameters that were not given."""
        return [f"oracle_{name}" for name in ("host", "service", "user", "password") if not getattr(self, name)]

    def section(self) -> dict[str, object]:
        """The login as a section of `sources:`."""
        password = self.password if isinstance(self.password, SecretStr) else SecretStr(str(self.password))
        found = {"host": self.host, "port": self.port, "service": self.service, "user": self.user}
        return {"type": "oracle", **found, "password": password}


@dataclass(frozen=True)
class GivenSources:
    """Databases by the names that entries must use, or one database under any name."""

    named: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    only: Mapping[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, named: Mapping[str, Mapping[str, Any]] | None, login: OracleLogin) -> Self:
        """The sources or the login, whichever was given.

        Raises:
            UsageError: both or neither were given, or the login is incomplete.
        """
        given, missing = login.given, login.missing
        if named is not None:
            if given:
                raise UsageError(
                    f"expected either sources or an Oracle database; found both sources and {', '.join(given)}",
                    hint="a section of sources may be the Oracle database: {'type': 'oracle', 'host': ...}",
                )
            return cls(named=named)
        if not given:
            raise UsageError(
                "expected an Oracle database or sources; found neither",
                hint="give oracle_host, oracle_service, oracle_user and oracle_password",
            )
        if missing:
            raise UsageError(
                f"expected oracle_host, oracle_service, oracle_user and oracle_password; missing {', '.join(missing)}",
                hint="for a SID, a dsn or a wallet, use a section of sources: {'type': 'oracle', 'dsn': ...}",
            )
        return cls(only=login.section())

    @classmethod
    def of_sections(cls, sections: Mapping[str, SourceSection]) -> Self:
        """The sources of a configuration that was already read."""
        return cls(
            named={name: section.model_dump(by_alias=True, exclude_unset=True) for name, section in sections.items()}
        )

    def for_entries(self, entries: Iterable[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """The `sources:` for entries of tables."""
        if self.only is None:
            return self.named or {}
        names = [name for entry in entries if isinstance(name := entry.get("source_name"), str)]
        return dict.fromkeys(names or [_UNNAMED], self.only)
