"""One POST to one address, with a time limit for the whole exchange.

Decides which redirects are followed: those that stay on the host, by the same POST. Any other redirect is an error,
since most clients (Python's too) would follow it by a GET, without the body. No message quotes the address, which is
often the credential itself, nor the target of a redirect.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, responses
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """The outcome. `detail` says what went wrong or should be changed; it is empty when all is well."""

    is_ok: bool
    detail: str = ""


def post(address: str, body: bytes, *, timeout: float) -> Answer:
    """Send `body` (JSON), and wait for the head of the answer; at most `timeout` seconds in all."""
    headers = {"Content-Type": "application/json", "User-Agent": "statekeeper"}
    with _time_limit(timeout) as limit:
        try:
            request = Request(address, data=body, method="POST", headers=headers)  # noqa: S310 - checked next
            if request.type not in _PORTS:
                return Answer(is_ok=False, detail="its URL is neither http nor https")
            with _opener(limit).open(request, timeout=timeout) as answer:
                if limit.is_over:  # an answer that was cut off may look like a short one
                    raise TimeoutError
                return Answer(is_ok=True, detail=_moved(asked=request.full_url, answered=answer.url))
        except HTTPError as error:
            error.close()
            return Answer(is_ok=False, detail=_refusal(error.code, error.reason))
        except (OSError, ValueError, HTTPException) as error:
            return Answer(is_ok=False, detail=_failure(error, limit, timeout))


@dataclass
class _TimeLimit:
    """Cuts the connections of a request when its time is over: a socket's own timeout starts again with each byte."""

    is_over: bool = False
    _sockets: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, connected: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connected)

    def end(self) -> None:
        with self._lock:
            self.is_over = True
            for connected in self._sockets:
                with suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)


@contextmanager
def _time_limit(seconds: float) -> Iterator[_TimeLimit]:
    limit = _TimeLimit()
    timer = threading.Timer(seconds, limit.end)
    timer.daemon = True
    timer.start()
    try:
        yield limit
    finally:
        timer.cancel()


def _opener(limit: _TimeLimit) -> OpenerDirector:
    class Http(HTTPHandler):
        def http_open(self, req: Request) -> HTTPResponse:
            return self.do_open(partial(_connection, HTTPConnection, limit), req)

    class Https(HTTPSHandler):
        def https_open(self, req: Request) -> HTTPResponse:
            return self.do_open(partial(_connection, HTTPSConnection, limit), req)

    return build_opener(Http(), Https(), _WithinHost())


def _connection(kind: type[HTTPConnection], limit: _TimeLimit, host: str, **choices: Any) -> HTTPConnection:
    class Watched(kind):  # type: ignore[misc, valid-type]  # either of the two, watched alike
        def connect(self) -> None:
            super().connect()
            limit.watch(self.sock)

    return Watched(host, **choices)


class _WithinHost(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, _file: object, _code: int, _reason: str, _headers: object, newurl: str
    ) -> Request | None:
        if not is_within_host(urlsplit(req.full_url), urlsplit(newurl)):
            return None
        return Request(newurl, data=req.data, method="POST", headers=dict(req.header_items()))  # noqa: S310 - as above


def is_within_host(asked: SplitResult, leads_to: SplitResult) -> bool:
    """Whether a redirect stays on the host and its port. It may change from http to https, but not back."""
    if asked.hostname != leads_to.hostname or leads_to.scheme not in _PORTS:
        return False
    ports = tuple(parts.port or _PORTS[parts.scheme] for parts in (asked, leads_to))
    is_upgrade = (asked.scheme, leads_to.scheme) == ("http", "https") and ports == (80, 443)
    return is_upgrade or (asked.scheme == leads_to.scheme and ports[0] == ports[1])


def _moved(*, asked: str, answered: str) -> str:
    if asked == answered:
        return ""
    return "was redirected within its host and delivered there: write the new address into the configuration"


def _refusal(code: int, reason: str) -> str:
    if 300 <= code < 400:  # the reason may quote the address
        answer = f"was answered with {code} {responses.get(code, '')}".rstrip()
        return (
            f"{answer}: a redirect to another host, or one that never ends, is not followed, and the event was not "
            "delivered; write the new address into the configuration"
        )
    return f"was answered with {code} {reason}"


def _failure(error: Exception, limit: _TimeLimit, timeout: float) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if limit.is_over or isinstance(reason, TimeoutError):
        return f"did not answer within {timeout:g} seconds"
    return f"could not be reached: {reason}" if isinstance(error, URLError) else f"failed with {type(error).__name__}"
