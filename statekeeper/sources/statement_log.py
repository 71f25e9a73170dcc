"""Records the statements that are sent, for DBAs and tests: in the logger `statekeeper.sources`, and optionally a file.

The log never contains a bound value, only its type. The file, which the environment variable STATEKEEPER_QUERY_LOG
names, does contain values. It has one JSON object a line (pid, at, sql, params); each line is appended in one write,
so that processes can share the file.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime

from statekeeper.sources.sql import Sql

QUERY_LOG = "STATEKEEPER_QUERY_LOG"
_LOG = logging.getLogger("statekeeper.sources")


def record_statement(statement: Sql) -> None:
    """Record a statement that is about to be sent."""
    if _LOG.isEnabledFor(logging.DEBUG):
        types = ", ".join(bind.type for bind in statement.binds)
        _LOG.debug("[%d] %s%s", os.getpid(), statement.text, f" -- binds: {types}" if types else "")
    path = os.environ.get(QUERY_LOG)
    if path:
        _append(path, statement)


def _append(path: str, statement: Sql) -> None:
    entry = {
        "pid": os.getpid(),
        "at": datetime.now(UTC).isoformat(),
        "sql": statement.text,
        "params": [bind.text for bind in statement.binds],
    }
    line = json.dumps(entry, ensure_ascii=False) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
