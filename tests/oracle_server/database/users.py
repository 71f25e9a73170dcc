"""Users: passwords, locked accounts and privileges.

A privilege is a text: `SELECT ANY TABLE`, or `SELECT ON HR.EMPLOYEES`, or `EXECUTE ON SYS.DBMS_FLASHBACK`. An owner
may do all with what is his. `PRESETS` are the rungs that a tool for reading has to cope with.
"""

import re
from dataclasses import dataclass, field

from tests.oracle_server.database.errors import OracleError

DICTIONARY_ROLE = "SELECT_CATALOG_ROLE"
EVERYTHING = "DBA"
PRESETS: dict[str, frozenset[str]] = {
    "none": frozenset({"SELECT ANY TABLE"}),
    "dictionary": frozenset({"SELECT ANY TABLE", "SELECT ON SYS.DBA_EXTENTS", "SELECT ON SYS.DBA_OBJECTS"}),
    "scn": frozenset({"SELECT ANY TABLE", DICTIONARY_ROLE, "EXECUTE ON SYS.DBMS_FLASHBACK"}),
    "all": frozenset(
        {"SELECT ANY TABLE", "FLASHBACK ANY TABLE", DICTIONARY_ROLE, "EXECUTE ON SYS.DBMS_FLASHBACK",
         "EXEMPT REDACTION POLICY", "EXEMPT ACCESS POLICY"}
    ),
    "owner": frozenset({EVERYTHING}),
}  # fmt: skip


@dataclass
class User:
    """An account."""

    name: str
    password: str
    privileges: set[str] = field(default_factory=set)
    locked: bool = False
    expired: bool = False
    grace_days: int | None = None
    """The password has expired, and may be used for so many days more."""
    session_limit: int | None = None
    number: int = 100
    failed_logons: int = 0

    def may(self, *any_of: str) -> bool:
        """Whether one of these is granted, or everything is."""
        return EVERYTHING in self.privileges or any(privilege in self.privileges for privilege in any_of)

    def may_on(self, action: str, schema: str, name: str) -> bool:
        """Whether this action on this object is granted, by ownership, by name or by ANY."""
        if schema == self.name:
            return True
        allowed = [f"{action} ON {schema}.{name}", f"{action} ANY TABLE"]
        if schema == "SYS":
            allowed = [
                f"{action} ON SYS.{name}",
                *((DICTIONARY_ROLE, "SELECT ANY DICTIONARY") if action == "SELECT" else ()),
            ]
        if action == "SELECT":
            allowed.append(f"READ ON {schema}.{name}")
        return self.may(*allowed)


class Users:
    """All accounts, by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, User] = {}
        self.session_limit: int | None = None

    def create(self, name: str, password: str, preset: str = "none") -> User:
        user = User(name, password, set(PRESETS[preset]), number=100 + len(self.by_name))
        self.by_name[name] = user
        return user

    def named(self, name: str) -> User:
        if name not in self.by_name:
            raise OracleError(1917, text=f"user or role '{name}' does not exist")
        return self.by_name[name]

    def grant(self, privilege: str, to: str) -> None:
        self.named(to).privileges.add(normalized(privilege))

    def revoke(self, privilege: str, of: str) -> None:
        self.named(of).privileges.discard(normalized(privilege))


def normalized(privilege: str) -> str:
    """Upper case outside of quotes, and without quotes."""
    parts = re.split(r'"([^"]*)"', privilege.strip())
    joined = "".join(part if number % 2 else part.upper() for number, part in enumerate(parts))
    joined = re.sub(r"\s+", " ", joined)
    joined = joined.replace("ON DBMS_", "ON SYS.DBMS_").replace("ON V_$", "ON SYS.V$")
    return joined.replace("SYS.V_$", "SYS.V$").replace("SYS.GV_$", "SYS.V$")


def account_name(text: str) -> str:
    """A user name as a client typed it."""
    return text[1:-1] if text.startswith('"') and text.endswith('"') else text.upper()
