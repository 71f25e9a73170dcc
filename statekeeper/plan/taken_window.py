"""The window that an extraction takes of its table's incremental column, by its scope or its commit record. Pure."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from statekeeper.model.table import Scope
from statekeeper.model.windows import TakenWindow

if TYPE_CHECKING:  # `history` is quicker without it
    from statekeeper.model.metadata import Metadata
    from statekeeper.model.past_commit import PastCommit


def window_of(metadata: Metadata | PastCommit) -> TakenWindow | None:
    """The window of a complete extraction; None for a table without an incremental column."""
    config = metadata.table_config
    if config.incremental_column is None:
        return None
    scope = config.scope
    if scope.window is None and scope.watermark is None:  # the first versions kept no watermark
        scope = scope.model_copy(update={"watermark": metadata.snapshot.taken_at})
    taken = taken_window(scope, metadata.run_id, date.fromisoformat(config.extraction_date), config.incremental_column)
    return taken and taken.model_copy(update={"is_complete": True})


def taken_window(scope: Scope, run_id: str, day: date, column: str | None = None) -> TakenWindow | None:
    """The window that an extraction takes, its lookback apart; None for a table without an incremental column.

    A full extraction without a window takes everything up to its watermark. `column` is its column, where no window
    names it.
    """
    window = scope.window
    if scope.watermark is None or (window is None and column is None):
        return None
    return TakenWindow(
        run_id=run_id,
        extraction_date=day.isoformat(),
        column=window.column if window else column or "",
        start=scope.covered,
        end=scope.watermark,
        read_from=window.start if window else None,
        timezone=(window.timezone or None) if window else None,
        is_complete=False,
    )


def with_planned(complete: TakenWindow | None, planned: TakenWindow | None) -> tuple[TakenWindow, ...]:
    """What an extraction has taken: what it has published, and what it has planned if that is another window.

    It may have been killed while it was extracted again: its plan is continued, and what is published stays until then.
    """
    found = tuple(window for window in (complete, planned) if window is not None)
    return found[:1] if len({(window.start, window.end) for window in found}) == 1 else found
