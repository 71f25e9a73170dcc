"""Removes exchanges of drivers that died; their workers, if some still run, then stop."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.exchange_files import files_at
from statekeeper.store.layout import spark_exchange
from statekeeper.store.process import Liveness, liveness

_LOOK_EVERY_SECONDS = 1.0
_LOG = logging.getLogger("statekeeper.spark")


def sweep_dead_exchanges(base_path: Path, run_id: str) -> None:
    """Remove the exchanges of a run whose drivers are known to be dead. Never raises."""
    for exchange in _exchanges_of(spark_exchange(base_path, run_id, "")):
        if _liveness(exchange) is Liveness.DEAD:
            _LOG.info("removing the exchange of a driver that died: %s", exchange.folder)
            exchange.remove()


def sweep_silent_exchanges(ours: Path, heartbeat_timeout: timedelta) -> None:
    """Remove other exchanges of the same run whose drivers, on other machines, send no heartbeat. Never raises.

    This takes `heartbeat_timeout`. It ends early, without removing anything, if our own exchange is removed; the next
    run tries again.
    """
    others = [exchange for exchange in _exchanges_of(ours) if exchange.folder != ours]
    pulses = {exchange: _pulse(exchange) for exchange in others if _liveness(exchange) is Liveness.UNKNOWN}
    deadline = time.monotonic() + heartbeat_timeout.total_seconds()
    while pulses and time.monotonic() < deadline:
        if _pulse(Exchange(ours)) is None:
            return
        time.sleep(_LOOK_EVERY_SECONDS)
    for exchange, pulse in pulses.items():
        if _pulse(exchange) == pulse:
            _LOG.info("removing the exchange of a driver that sent no heartbeat: %s", exchange.folder)
            exchange.remove()


def _exchanges_of(any_of_run: Path) -> list[Exchange]:
    """The exchanges of the run to which the given one belongs, including that one."""
    run = any_of_run.name.rpartition("-")[0]
    try:
        names = files_at(any_of_run).names(any_of_run.parent)
        return [Exchange(any_of_run.with_name(name)) for name in names if name.rpartition("-")[0] == run]
    except OSError:
        return []


def _liveness(exchange: Exchange) -> Liveness:
    owner = exchange.owner()
    return liveness(owner) if owner else Liveness.UNKNOWN


def _pulse(exchange: Exchange) -> bytes | None:
    with suppress(OSError):
        return exchange.read_pulse()
    return None
