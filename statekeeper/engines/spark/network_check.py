"""Checks, before any chunk, that executors can connect to each source: opens a connection to each of its addresses.

Decides which sources executors cannot read, and what the user can do about it. The driver may still reach them: in the
standard access mode of Databricks, user code on executors runs in a sandbox with a network of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from statekeeper.engines.context import JobSource
from statekeeper.sources.protocol import Address
from statekeeper.sources.registry import addresses_of

CONNECT_SECONDS = 10.0
"""How long an address may take to accept a connection. All addresses are tried concurrently."""
NO_ROUTE_HINT = (
    "set engine: local, which reads on the driver; or open the network between executors and the database "
    "(on Databricks: use dedicated access mode, since standard access mode isolates user code)"
)
_MAX_NAMED = 3

Refusals = dict[str, list[str | None]]
"""For each source and each of its addresses: why a connection failed, or None if it succeeded."""


@dataclass(frozen=True)
class NetworkCheck:
    """The addresses of the sources that executors read, by the source's name; a file has none."""

    addresses: Mapping[str, tuple[Address, ...]]

    @classmethod
    def of(cls, sources: Mapping[str, JobSource]) -> NetworkCheck:
        """The check of these sources."""
        return cls({name: addresses_of(source.config) for name, source in sources.items()})

    def connector(self) -> Callable[[], Refusals]:
        """The function that executors call. It is sent by value, and must work where statekeeper is not installed."""
        targets = {name: [(each.host, each.port) for each in found] for name, found in self.addresses.items()}
        seconds = CONNECT_SECONDS

        def connect() -> Refusals:
            import socket
            from concurrent.futures import ThreadPoolExecutor

            def refusal(target: tuple[str, int]) -> str | None:
                try:
                    socket.create_connection(target, seconds).close()
                except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
                    return str(error) or type(error).__name__
                return None

            with ThreadPoolExecutor(32) as pool:
                asked = {name: [pool.submit(refusal, each) for each in found] for name, found in targets.items()}
                return {name: [each.result() for each in answers] for name, answers in asked.items()}

        return connect

    def unreachable(self, answers: Iterable[tuple[str, Refusals]]) -> dict[str, str]:
        """A message for each source to which some executor cannot connect at any address: which executor, and why.

        `answers` are the results of the connector, each with the executor's host.
        """
        refused: dict[str, dict[str, list[str]]] = {}
        for host, refusals in answers:
            for name, addresses in self.addresses.items():
                why = [f"{each}: {reason}" for each, reason in zip(addresses, refusals[name], strict=True) if reason]
                if addresses and len(why) == len(addresses):
                    refused.setdefault(name, {}).setdefault(host, why)
        return {name: _sentence(name, by_host) for name, by_host in refused.items()}


def _sentence(name: str, refused: Mapping[str, list[str]]) -> str:
    hosts = sorted(refused)
    named = ", ".join(hosts[:_MAX_NAMED]) + (f" and {len(hosts) - _MAX_NAMED} more" if hosts[_MAX_NAMED:] else "")
    return f"executors on {named} cannot connect to the source {name} ({'; '.join(refused[hosts[0]])})"
