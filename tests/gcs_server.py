"""A server that answers as Google documents the XML interface of Cloud Storage, in memory, and records requests.

No server of a package registry speaks that interface, which obstore uses (fake-gcs-server and gcp-storage-emulator
write by the JSON interface only). So this proves what statekeeper asks for, and what it makes of documented answers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from obstore.store import GCSStore, ObjectStore

_BUCKET, _MODIFIED = "lake", "2026-01-06T00:00:00.000Z"
_KEY = {"disable_oauth": True, "client_email": "", "private_key": "no key", "private_key_id": ""}


@dataclass
class Answer:
    """What a request is answered: a status, headers and a body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def refused(cls, status: int, code: str) -> Answer:
        return cls(status, {}, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())


@dataclass
class Bucket:
    """Objects by key, each with its generation; `in_pieces` are those whose ETag is no md5."""

    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    in_pieces: set[str] = field(default_factory=set)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    generation: int = 1_000
    lock: RLock = field(default_factory=RLock)

    def answer(self, method: str, address: str, headers: dict[str, str], body: bytes) -> Answer:
        with self.lock:
            url = urlsplit(address)
            _, bucket, *rest = url.path.split("/", 2)
            key, query = unquote("/".join(rest)), parse_qs(url.query, keep_blank_values=True)
            self.requests.append((method, key, headers))
            if bucket != _BUCKET:
                return Answer.refused(404, "NoSuchBucket")
            if not key:
                return self._list(query)
            if "uploads" in query or "uploadId" in query:
                return self._upload(method, key, query, body)
            if method == "PUT":
                return self._put(key, headers, body)
            if key not in self.objects:
                return Answer.refused(404, "NoSuchKey")
            if method == "DELETE":
                del self.objects[key]
                return Answer(204)
            return self._get(key, headers)

    def _put(self, key: str, headers: dict[str, str], body: bytes) -> Answer:
        source = headers.get("x-goog-copy-source")
        if source is not None:
            found = self.objects.get(unquote(source).partition("/")[2])
            if found is None:
                return Answer.refused(404, "NoSuchKey")
            body = found[1]
            if unquote(source).partition("/")[2] in self.in_pieces:
                self.in_pieces.add(key)
        wanted = headers.get("x-goog-if-generation-match")
        if wanted is not None and int(wanted) != self.objects.get(key, (0, b""))[0]:
            return Answer.refused(412, "PreconditionFailed")
        return self._store(key, body)

    def _store(self, key: str, body: bytes) -> Answer:
        self.generation += 1
        self.objects[key] = self.generation, body
        return Answer(200, self._headers(key))

    def _headers(self, key: str) -> dict[str, str]:
        generation, body = self.objects[key]
        e_tag = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return {
            "ETag": f'"{e_tag}{"-pieces" * (key in self.in_pieces)}"',
            "x-goog-generation": str(generation),
            "Last-Modified": "Tue, 06 Jan 2026 00:00:00 GMT",
        }

    def _get(self, key: str, headers: dict[str, str]) -> Answer:
        body, found = self.objects[key][1], self._headers(key)
        if (span := headers.get("range")) is None:
            return Answer(200, found, body)
        first, last = span.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(body) - int(last))
        stop = min(len(body), int(last) + 1) if first and last else len(body)
        if start >= stop:
            return Answer.refused(416, "InvalidRange")
        return Answer(206, {**found, "Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}, body[start:stop])

    def _list(self, query: dict[str, list[str]]) -> Answer:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        folders, found = set(), []
        for key in sorted(self.objects):
            if key.startswith(prefix):
                name, slash, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
                if slash:
                    folders.add(f"{prefix}{name}/")
                else:
                    found.append(key)
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[key][1])}</Size>"
            f"<LastModified>{_MODIFIED}</LastModified><ETag>{self._headers(key)['ETag']}</ETag></Contents>"
            for key in found
        )
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in folders)
        return Answer(body=f"<ListBucketResult>{contents}{prefixes}</ListBucketResult>".encode())

    def _upload(self, method: str, key: str, query: dict[str, list[str]], body: bytes) -> Answer:
        if "uploads" in query:
            name = f"upload-{len(self.uploads)}"
            self.uploads[name] = {}
            text = f"<Bucket>{_BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
            return Answer(body=f"<InitiateMultipartUploadResult>{text}</InitiateMultipartUploadResult>".encode())
        pieces = self.uploads[query["uploadId"][0]]
        if method == "PUT":
            pieces[int(query["partNumber"][0])] = body
            return Answer(200, {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})
        del self.uploads[query["uploadId"][0]]
        if method == "DELETE":
            return Answer(204)
        self.in_pieces.add(key)
        done = self._store(key, b"".join(pieces[number] for number in sorted(pieces)))
        text = f"<CompleteMultipartUploadResult><ETag>{done.headers['ETag']}</ETag></CompleteMultipartUploadResult>"
        return Answer(200, done.headers, text.encode())


class GoogleRules:
    """A server of one bucket, in this process."""

    name, keeps = "google", True
    url = f"gs://{_BUCKET}"

    def __init__(self) -> None:
        self.told = Bucket()
        self.server: ThreadingHTTPServer | None = None
        self.port = 0

    def restart(self) -> None:
        bucket = self.told

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Says nothing."""

            def do_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                answer = bucket.answer(self.command, self.path, headers, body)
                self.send_response(answer.status)
                for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815 - names of the base class

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, daemon=True).start()

    def kill(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    @property
    def storage(self) -> dict[str, str]:
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "service_account_key": json.dumps(_KEY),
            "retry_timeout": "5s",
        }

    @cached_property
    def bucket(self) -> ObjectStore:
        config = {"base_url": self.storage["endpoint"], "service_account_key": self.storage["service_account_key"]}
        return GCSStore(_BUCKET, config=config, client_options={"allow_http": True})
