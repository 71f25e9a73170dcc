"""Extract database tables to validated Parquet through an explicit, persisted state machine that survives any crash.

The names of the Python API live here: `from statekeeper import StatefulDataExtractor, RunReport`. `import statekeeper`
itself imports nothing; a name is imported when it is first asked for.
"""

TYPE_CHECKING = False  # type checkers know it by its name; `typing` itself takes longer to import than this module
if TYPE_CHECKING:
    from statekeeper.api import DataExtractor, StatefulDataExtractor
    from statekeeper.api.events import RunEnded, RunEvent, RunEvents
    from statekeeper.api.keys import Table
    from statekeeper.databricks.api import DatabricksDataExtractor, StatefulDatabricksDataExtractor
    from statekeeper.errors import (
        ConfigError,
        ExitCode,
        FailureKind,
        StatekeeperError,
        UsageError,
    )
    from statekeeper.model.history import HistoryGap, HistoryOverlap, PastExtraction, TableHistory
    from statekeeper.model.manifest import RunStatus, TableStatus
    from statekeeper.model.preview import PlanReport
    from statekeeper.model.state import Failure
    from statekeeper.model.table import TableRef
    from statekeeper.run.choices import RunChoices
    from statekeeper.run.report import BackfillReport, Outcome, RunIncomplete, RunReport, TableReport
    from statekeeper.runtime.events import (
        ChunkDone,
        RowsRead,
        RunStarted,
        TableEnded,
        TablePlanned,
        TableStateChanged,
        TableWaiting,
        TableWarning,
    )
    from statekeeper.runtime.progress import LogReporter, NullReporter, Reporter, TableEnd

__version__ = "0.1.0"

__all__ = [
    "BackfillReport",
    "ChunkDone",
    "ConfigError",
    "DataExtractor",
    "DatabricksDataExtractor",
    "ExitCode",
    "Failure",
    "FailureKind",
    "HistoryGap",
    "HistoryOverlap",
    "LogReporter",
    "NullReporter",
    "Outcome",
    "PastExtraction",
    "PlanReport",
    "Reporter",
    "RowsRead",
    "RunChoices",
    "RunEnded",
    "RunEvent",
    "RunEvents",
    "RunIncomplete",
    "RunReport",
    "RunStarted",
    "RunStatus",
    "StatefulDataExtractor",
    "StatefulDatabricksDataExtractor",
    "StatekeeperError",
    "Table",
    "TableEnd",
    "TableEnded",
    "TableHistory",
    "TablePlanned",
    "TableRef",
    "TableReport",
    "TableStateChanged",
    "TableStatus",
    "TableWaiting",
    "TableWarning",
    "UsageError",
    "__version__",
]

_HOMES = {
    "statekeeper.api": ("DataExtractor", "StatefulDataExtractor"),
    "statekeeper.api.events": ("RunEnded", "RunEvent", "RunEvents"),
    "statekeeper.api.keys": ("Table",),
    "statekeeper.databricks.api": ("DatabricksDataExtractor", "StatefulDatabricksDataExtractor"),
    "statekeeper.errors": ("ConfigError", "ExitCode", "FailureKind", "StatekeeperError", "UsageError"),
    "statekeeper.model.history": ("HistoryGap", "HistoryOverlap", "PastExtraction", "TableHistory"),
    "statekeeper.model.manifest": ("RunStatus", "TableStatus"),
    "statekeeper.model.preview": ("PlanReport",),
    "statekeeper.model.state": ("Failure",),
    "statekeeper.model.table": ("TableRef",),
    "statekeeper.run.choices": ("RunChoices",),
    "statekeeper.run.report": ("BackfillReport", "Outcome", "RunIncomplete", "RunReport", "TableReport"),
    "statekeeper.runtime.events": (
        "ChunkDone",
        "RowsRead",
        "RunStarted",
        "TableEnded",
        "TablePlanned",
        "TableStateChanged",
        "TableWaiting",
        "TableWarning",
    ),
    "statekeeper.runtime.progress": ("LogReporter", "NullReporter", "Reporter", "TableEnd"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name from its module, and keep it here."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
