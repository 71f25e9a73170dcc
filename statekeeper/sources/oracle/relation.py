"""Finds the table, view or synonym of a relation in the dictionary, or uses the user's query.

Decides how names are resolved (no schema means the session's own), the kind of the relation, and the `FROM` of every
statement. It reads only dictionary views that every user may read.

A name in the configuration becomes one in the database by Oracle's own rule: it is upper-cased, unless it is in double
quotes (`'"Mixed Case"'` in YAML). If no such object exists, one with exactly the written spelling is used, so that
mixed-case tables work without quotes. Names are quoted in every statement, so reserved words and special characters
need no other treatment.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum, auto

from statekeeper.errors import PlanError, SourceError
from statekeeper.model.plan import Snapshot
from statekeeper.model.table import Relation
from statekeeper.sources.oracle.connection import Connection
from statekeeper.sources.sql import Bind, Sql, quoted

AS_OF = "{as_of}"
SCN_KIND = "oracle-scn"
"""The kind of snapshot whose statements contain AS OF SCN."""
_MAX_SYNONYMS = 8


def spellings(written: str) -> tuple[str, ...]:
    """The names that a configured name may mean, in order of preference."""
    if len(written) > 1 and written.startswith('"') and written.endswith('"'):
        return (written[1:-1],)
    return tuple(dict.fromkeys((written.upper(), written)))


class RelationKind(Enum):
    """The kind of a relation; only in a heap table are ROWIDs positions in its segments."""

    HEAP = "table"
    INDEX_ORGANIZED = "index-organized table"
    EXTERNAL = "external table"
    TEMPORARY = "temporary table"
    VIEW = "view"
    REMOTE = "table of another database"
    QUERY = "query"


class _Found(Enum):
    TABLE = auto()
    VIEW = auto()
    SYNONYM = auto()


@dataclass(frozen=True)
class Source:
    """A relation for a FROM clause. `owner` and `name` have the dictionary's spelling; they are empty for a query."""

    kind: RelationKind
    label: str
    text: str
    owner: str = ""
    name: str = ""
    rows: int | None = None
    blocks: int | None = None
    """Rows and blocks by the table's statistics, if it has any."""
    is_partitioned: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the dictionary has segments and keys of it."""
        return self.kind in {RelationKind.HEAP, RelationKind.INDEX_ORGANIZED}

    @property
    def dictionary_name(self) -> tuple[Bind, Bind]:
        """Its owner and name, as bind values for queries on the dictionary."""
        return Bind("VARCHAR2", self.owner), Bind("VARCHAR2", self.name)

    @property
    def grant_object(self) -> str:
        """The object for a GRANT that allows reading it."""
        return "<each table of the query>" if self.kind is RelationKind.QUERY else self.text

    @property
    def takes_as_of(self) -> bool:
        """Whether its text can name a snapshot: a query needs the placeholder for that."""
        return self.kind is not RelationKind.QUERY or AS_OF in self.text

    def from_clause(
        self,
        snapshot: Snapshot | None,
        *,
        partition: str | None = None,
        subpartition: str | None = None,
        sample: str = "",
    ) -> Sql:
        """` FROM ... q`, with AS OF if the snapshot's kind needs it; columns are always named as `q.column`."""
        as_of = ""
        if snapshot is not None and snapshot.kind == SCN_KIND:
            as_of = f"AS OF SCN {int(snapshot.token)}"
        if self.kind is RelationKind.QUERY:
            return Sql(f" FROM (\n{self.text.replace(AS_OF, as_of)}\n) q")
        piece = f" PARTITION ({quoted(partition)})" if partition is not None else ""
        if subpartition is not None:
            piece = f" SUBPARTITION ({quoted(subpartition)})"
        return Sql(f" FROM {self.text}{piece}{sample}{' ' + as_of if as_of else ''} q")


def find_source(connection: Connection, relation: Relation) -> Source:
    """The relation in the database.

    Raises:
        SourceError: there is no such table or view, or it may not be read.
        PlanError: there are too many synonyms between the name and a table.
    """
    if relation.query is not None:
        return Source(RelationKind.QUERY, relation.label, relation.query.strip().rstrip(";").rstrip())
    assert relation.table_name is not None, "a relation is a table or a query"
    owners = spellings(relation.schema_name) if relation.schema_name else (_current_schema(connection),)
    names = spellings(relation.table_name)
    label = relation.label
    for _ in range(_MAX_SYNONYMS):
        found = _look_up(connection, owners, names, label)
        if found is None and relation.schema_name is None:
            found = _look_up(connection, ("PUBLIC",), names, label)
        if found is None:
            raise _not_found(connection, relation, owners, names)
        owner, name, kind = found
        if kind is _Found.VIEW:
            return Source(RelationKind.VIEW, label, f"{quoted(owner)}.{quoted(name)}", owner, name)
        if kind is _Found.TABLE:
            return _table(connection, owner, name, label)
        target = _synonym_target(connection, owner, name, label)
        if target[2] is not None:
            link = ".".join(quoted(part) for part in target[2].split("@")[0].split("."))
            return Source(RelationKind.REMOTE, label, f"{quoted(target[0] or owner)}.{quoted(target[1])}@{link}")
        owners, names = (target[0] or owner,), (target[1],)
    raise PlanError(f"{label} leads through more than {_MAX_SYNONYMS} synonyms", hint="name the table itself")


def _current_schema(connection: Connection) -> str:
    statement = Sql("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM DUAL")
    ((schema,),) = connection.rows(statement, "the session's schema cannot be read")
    return str(schema)


def _look_up(
    connection: Connection, owners: tuple[str, ...], names: tuple[str, ...], label: str
) -> tuple[str, str, _Found] | None:
    """The first spelling that exists. A materialized view is also a table, and is treated as one."""
    for owner in owners:
        for name in names:
            statement = Sql(
                "SELECT OBJECT_TYPE FROM ALL_OBJECTS WHERE OWNER = :owner AND OBJECT_NAME = :name "
                "AND OBJECT_TYPE IN ('TABLE', 'VIEW', 'SYNONYM')",
                (Bind("VARCHAR2", owner), Bind("VARCHAR2", name)),
            )
            types = {row[0] for row in connection.rows(statement, f"{label} cannot be looked up")}
            for kind in _Found:
                if kind.name in types:
                    return owner, name, kind
    return None


def _synonym_target(connection: Connection, owner: str, name: str, label: str) -> tuple[str | None, str, str | None]:
    statement = Sql(
        "SELECT TABLE_OWNER, TABLE_NAME, DB_LINK FROM ALL_SYNONYMS WHERE OWNER = :owner AND SYNONYM_NAME = :name",
        (Bind("VARCHAR2", owner), Bind("VARCHAR2", name)),
    )
    rows = connection.rows(statement, f"{label} cannot be looked up")
    if not rows:
        raise SourceError(f"{label} is a synonym that may not be followed", hint="name the table itself")
    target_owner, target_name, link = rows[0]
    return target_owner, target_name, link


def _table(connection: Connection, owner: str, name: str, label: str) -> Source:
    binds = (Bind("VARCHAR2", owner), Bind("VARCHAR2", name))
    statement = Sql(
        "SELECT NUM_ROWS, BLOCKS, PARTITIONED, IOT_TYPE, TEMPORARY FROM ALL_TABLES "
        "WHERE OWNER = :owner AND TABLE_NAME = :name",
        binds,
    )
    facts = connection.rows(statement, f"{label} cannot be looked up")
    rows, blocks, partitioned, iot_type, temporary = facts[0] if facts else (None, None, "NO", None, "N")
    external = Sql("SELECT COUNT(*) FROM ALL_EXTERNAL_TABLES WHERE OWNER = :owner AND TABLE_NAME = :name", binds)
    ((externals,),) = connection.rows(external, f"{label} cannot be looked up")
    kind = RelationKind.HEAP
    if externals:
        kind = RelationKind.EXTERNAL
    elif iot_type is not None:
        kind = RelationKind.INDEX_ORGANIZED
    elif temporary == "Y":
        kind = RelationKind.TEMPORARY
    return Source(
        kind,
        label,
        f"{quoted(owner)}.{quoted(name)}",
        owner,
        name,
        rows=None if rows is None else int(rows),
        blocks=None if blocks is None else int(blocks),
        is_partitioned=partitioned == "YES",
    )


def _not_found(
    connection: Connection, relation: Relation, owners: tuple[str, ...], names: tuple[str, ...]
) -> SourceError:
    statement = Sql(
        "SELECT OWNER, OBJECT_NAME FROM ALL_OBJECTS WHERE OBJECT_TYPE IN ('TABLE', 'VIEW', 'SYNONYM') "
        "AND (OWNER = :owner OR OBJECT_NAME = :name)",
        (Bind("VARCHAR2", owners[0]), Bind("VARCHAR2", names[0])),
    )
    visible = connection.rows(statement, f"{relation.label} cannot be looked up")
    texts = [f"{owner}.{name}" for owner, name in visible]
    wanted = f"{owners[0]}.{names[0]}"
    near = [text for text in texts if text.endswith(f".{names[0]}")] or difflib.get_close_matches(wanted, texts, n=3)
    hint = f"GRANT SELECT ON {wanted} TO {connection.user}, if it exists"
    if near:
        hint = f"did you mean {' or '.join(near[:3])}? (schema_name and table_name); else {hint}"
    return SourceError(
        f"table {relation.label} does not exist, or {connection.user} may not see it: tried "
        f"{', '.join(f'{owner}.{name}' for owner in owners for name in names)}",
        hint=hint,
        code="ORA-00942",
    )
