"""Before any chunk: can executors connect to each source? A connection to each of its addresses, opened and closed.

Decides which sources executors cannot read, and what to do about it. The driver may well reach them: on Databricks'
standard access mode user code of executors runs in a sandbox with a network of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from statekeeper.engines.context import JobSource
from statekeeper.sources.protocol import Address
from statekeeper.sources.registry import addresses_of

CONNECT_SECONDS = 10.0
"""How long an address may take to accept a connection. All addresses are tried at once."""
NO_ROUTE_HINT = (
    "set engine: local, which reads on the driver; or open the network between executors and the database "
    "(on Databricks: use dedicated access mode, since standard access mode isolates user code)"
)
_MOST_NAMED = 3

Refusals = dict[str, list[str | None]]
"""For each source, for each of its addresses: why it cannot be connected to, or None where it can."""


@dataclass(frozen=True)
class NetworkCheck:
    """The addresses of each source that executors read, by the source's name; a file has none."""

    addresses: Mapping[str, tuple[Address, ...]]

    @classmethod
    def of(cls, sources: Mapping[str, JobSource]) -> NetworkCheck:
        """The check of these sources."""
        return cls({name: addresses_of(source.config) for name, source in sources.items()})

    def connector(self) -> Callable[[], Refusals]:
        """What an executor calls. It is sent by value, and must work where statekeeper is not installed."""
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
        """For each source that some executor cannot connect to at any address: which executor, which address, why.

        `answers` are what the connector returned, each with the executor's host.
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
    named = ", ".join(hosts[:_MOST_NAMED]) + (f" and {len(hosts) - _MOST_NAMED} more" if hosts[_MOST_NAMED:] else "")
    return f"executors on {named} cannot connect to the source {name} ({'; '.join(refused[hosts[0]])})"
