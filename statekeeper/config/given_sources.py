"""Which databases a call in Python means: named sections as a configuration has them, or one Oracle database.

Decides that exactly one of the two ways was used. What stands in a section is checked with the rest of the
configuration (`statekeeper.config.loader`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import SecretStr

from statekeeper.config.sections.source import SourceSection
from statekeeper.errors import UsageError

_UNNAMED = "oracle"
"""The source's name where no entry says one, so that what is wrong with the entry is reported and nothing else."""


@dataclass(frozen=True)
class OracleLogin:
    """One Oracle database, as the parameters of `DataExtractor` say it."""

    host: str | None
    port: int
    service: str | None
    user: str | None
    password: str | SecretStr | None = field(repr=False)

    @property
    def given(self) -> list[str]:
        """The parameters that were given, but for the port, which has a default."""
        return [f"oracle_{name}" for name in ("host", "service", "user", "password") if getattr(self, name)]

    @property
    def missing(self) -> list[str]:
        """The parameters that were not given."""
        return [f"oracle_{name}" for name in ("host", "service", "user", "password") if not getattr(self, name)]

    def section(self) -> dict[str, object]:
        """The same as a section of `sources:`."""
        password = self.password if isinstance(self.password, SecretStr) else SecretStr(str(self.password))
        found = {"host": self.host, "port": self.port, "service": self.service, "user": self.user}
        return {"type": "oracle", **found, "password": password}


@dataclass(frozen=True)
class GivenSources:
    """Databases by the names that entries must use, or one that goes by whatever name an entry uses."""

    named: Mapping[str, Mapping[str, Any]] | None = field(default=None, repr=False)
    only: Mapping[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, named: Mapping[str, Mapping[str, Any]] | None, login: OracleLogin) -> Self:
        """The one way that was used.

        Raises:
            UsageError: both were, or none, or the Oracle database is not said in full.
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
                hint="a SID, a dsn or a wallet can be said in a section of sources: {'type': 'oracle', 'dsn': ...}",
            )
        return cls(only=login.section())

    @classmethod
    def of_sections(cls, sections: Mapping[str, SourceSection]) -> Self:
        """The sources of a configuration that was read already."""
        return cls(
            named={name: section.model_dump(by_alias=True, exclude_unset=True) for name, section in sections.items()}
        )

    def for_entries(self, entries: Iterable[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        """The `sources:` for entries of tables."""
        if self.only is None:
            return self.named or {}
        names = [name for entry in entries if isinstance(name := entry.get("source_name"), str)]
        return dict.fromkeys(names or [_UNNAMED], self.only)
