"""Extract database tables to validated Parquet through an explicit, persisted state machine that survives any crash.

The names of the Python API live here: `from statekeeper import StatefulDataExtractor, RunReport`. `import statekeeper`
itself imports nothing; a name is imported when it is first asked for.
"""

TYPE_CHECKING = False  # type checkers know it by its name; `typing` itself takes longer to import than this module
if TYPE_CHECKING:
    from statekeeper.api import DataExtractor, StatefulDataExtractor
    from statekeeper.databricks.api import DatabricksDataExtractor, StatefulDatabricksDataExtractor
    from statekeeper.errors import (
        ConfigError,
        FailureKind,
        StatekeeperError,
        UsageError,
    )
    from statekeeper.model.manifest import RunStatus, TableStatus
    from statekeeper.model.preview import PlanReport
    from statekeeper.model.record import Failure
    from statekeeper.model.table import TableRef
    from statekeeper.run.report import Outcome, RunReport, TableReport
    from statekeeper.runtime.progress import LogReporter, NullReporter, Reporter, TableEnd

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "DataExtractor",
    "DatabricksDataExtractor",
    "Failure",
    "FailureKind",
    "LogReporter",
    "NullReporter",
    "Outcome",
    "PlanReport",
    "Reporter",
    "RunReport",
    "RunStatus",
    "StatefulDataExtractor",
    "StatefulDatabricksDataExtractor",
    "StatekeeperError",
    "TableEnd",
    "TableRef",
    "TableReport",
    "TableStatus",
    "UsageError",
    "__version__",
]

_HOMES = {
    "statekeeper.api": ("DataExtractor", "StatefulDataExtractor"),
    "statekeeper.databricks.api": ("DatabricksDataExtractor", "StatefulDatabricksDataExtractor"),
    "statekeeper.errors": ("ConfigError", "FailureKind", "StatekeeperError", "UsageError"),
    "statekeeper.model.manifest": ("RunStatus", "TableStatus"),
    "statekeeper.model.preview": ("PlanReport",),
    "statekeeper.model.record": ("Failure",),
    "statekeeper.model.table": ("TableRef",),
    "statekeeper.run.report": ("Outcome", "RunReport", "TableReport"),
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
