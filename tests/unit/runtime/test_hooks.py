import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from statekeeper.config.sections.policies import check_template
from statekeeper.model.hook_event import HookEvent
from statekeeper.runtime.hooks import run_hook
from statekeeper.runtime.webhook import is_within_host
from tests.messages import Message, message, raises_message, says


@dataclass(frozen=True)
class Hook:
    command: str | None = None
    webhook: SecretStr | None = None
    timeout_seconds: float = 10.0
    pass_env: tuple[str, ...] = ()


EVENT = HookEvent(
    table="shop.HR.EMPLOYEES",
    run_id="demo-20260106",
    pipeline="demo",
    extraction_date="2026-01-06",
    state="complete",
    records=107,
    bytes=4096,
    output_path="data/demo",
)


def test_command_gets_the_fields_it_names(tmp_path: Path) -> None:
    result = run_hook(Hook(command=f"touch '{tmp_path}/{{table}} {{records}} {{failure}}|'"), EVENT)
    assert result.is_ok, result
    assert [file.name for file in tmp_path.iterdir()] == ["shop.HR.EMPLOYEES 107 |"]


def test_values_never_become_shell_syntax_or_further_arguments(tmp_path: Path) -> None:
    nasty = "a b; touch pwned $(touch pwned) ' \" {table}"
    event = EVENT.model_copy(update={"failure": nasty})
    output = tmp_path / "out"
    result = run_hook(Hook(command=f'sh -c \'printf "%s|" "$@" > {output}\' sh {{failure}} end'), event)
    assert result.is_ok, result
    assert output.read_text() == f"{nasty}|end|"


def test_command_finds_every_field_in_its_environment(tmp_path: Path) -> None:
    output = tmp_path / "env"
    environ = {"PATH": os.environ["PATH"]}
    result = run_hook(Hook(command=f"sh -c 'env > {output}'"), EVENT, environ=environ)
    assert result.is_ok, result
    lines = output.read_text().splitlines()
    assert "STATEKEEPER_TABLE=shop.HR.EMPLOYEES" in lines
    assert "STATEKEEPER_RECORDS=107" in lines
    assert "STATEKEEPER_FAILURE=" in lines
    assert {f"STATEKEEPER_{name.upper()}" for name in HookEvent.model_fields} <= {line.split("=")[0] for line in lines}


def test_failing_command_is_reported_with_its_output() -> None:
    result = run_hook(Hook(command="sh -c 'echo out; echo no such channel >&2; exit 3'"), EVENT)
    assert not result.is_ok
    assert says(result.detail, "runtime.command_ended_with", code=3)
    assert "no such channel" in result.detail


def test_long_output_of_a_command_is_cut() -> None:
    result = run_hook(Hook(command="sh -c 'yes | head -c 1000000; exit 1'"), EVENT)
    assert not result.is_ok
    assert len(result.detail) < 2100


@pytest.mark.parametrize("command", ["/no/such/command", "touch {failure}"])
def test_command_that_cannot_be_started_is_reported(command: str) -> None:
    result = run_hook(Hook(command=command), EVENT.model_copy(update={"failure": "a\0b"}))
    assert not result.is_ok
    assert says(result.detail, "runtime.command_could_not_start")


def test_command_is_killed_with_its_children_at_the_timeout(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    began = time.monotonic()
    hook = Hook(command=f"sh -c '(sleep 1.5; touch {alive}) & wait'", timeout_seconds=0.3)
    result = run_hook(hook, EVENT)
    assert time.monotonic() - began < 1.2
    assert not result.is_ok
    assert says(result.detail, "runtime.command_was_killed", timeout="0.3")
    time.sleep(1.6)
    assert not alive.exists()


def test_command_that_leaves_a_child_behind_is_not_waited_for() -> None:
    began = time.monotonic()
    assert run_hook(Hook(command="sh -c 'sleep 5 & exit 0'"), EVENT).is_ok
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("notify {tabel}", message("config.field_is_not_known", name="tabel", known="{table}...")),
        ("notify {table.__class__}", message("config.field_is_not_known", name="table.__class__")),
        ("notify {}", message("config.field_is_not_known", name="")),
        ("notify {records:>10}", message("config.field_takes_no_format", name="records")),
        ("notify {table!r}", message("config.field_takes_no_format", name="table")),
        ("  ", message("config.command_is_empty")),
    ],
)
def test_template_mistakes_are_found_without_running_it(command: str, complaint: Message) -> None:
    with raises_message(ValueError, complaint):
        check_template(command)


@pytest.mark.parametrize(("command", "words"), [("notify 'it", "No closing quotation"), ("notify }", "Single '}'")])
def test_a_template_that_python_cannot_read_is_refused_in_its_words(command: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_template(command)


def test_every_field_may_stand_in_a_template_and_braces_may_be_escaped(tmp_path: Path) -> None:
    command = " ".join(["echo", "{{x}}", *(f"{{{name}}}" for name in HookEvent.model_fields)])
    check_template(command)
    assert run_hook(Hook(command=command), EVENT).is_ok
    assert shutil.which("echo")


def test_command_gets_a_clean_environment_and_what_is_passed_to_it(tmp_path: Path) -> None:
    usual = {"PATH": os.environ["PATH"], "HOME": "/home/me", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    ours = usual | {"STATEKEEPER_DEBUG": "0", "ORACLE_PASSWORD": "hunter2", "SLACK_TOKEN": "passed", "OTHER": "x"}
    output = tmp_path / "env"
    hook = Hook(command=f"sh -c 'env > {output}'", pass_env=("SLACK_TOKEN", "NOT_SET"))
    assert run_hook(hook, EVENT, environ=ours).is_ok
    got = dict(line.partition("=")[::2] for line in output.read_text().splitlines())
    assert {name: got.get(name) for name in ours} == ours | {"ORACLE_PASSWORD": None, "OTHER": None}


class _Receiver(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.others.append(self.command)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/redirect/"):
            code, _, target = self.path.removeprefix("/redirect/").partition("/")
            self.send_response(int(code))
            self.send_header("Location", self.server.targets[target])  # type: ignore[attr-defined]
            self.end_headers()
            return
        self.server.bodies.append(body)  # type: ignore[attr-defined]
        if self.path == "/drip":
            with suppress(OSError):
                for letter in b"HTTP/1.0 200 OK" + b"x" * 1000:
                    self.connection.sendall(bytes([letter]))
                    time.sleep(0.02)
            return
        if self.path == "/slow":
            time.sleep(1)
        self.send_response(404 if self.path == "/gone" else 200)
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        server.bodies, server.others = [], []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _url(receiver: ThreadingHTTPServer, path: str) -> SecretStr:
    return SecretStr(f"http://127.0.0.1:{receiver.server_port}{path}")


def test_webhook_is_posted_the_event_as_json(receiver: ThreadingHTTPServer) -> None:
    assert run_hook(Hook(webhook=_url(receiver, "/s3cret-token")), EVENT).is_ok
    body = json.loads(receiver.bodies[0])  # type: ignore[attr-defined]
    assert body["table"] == "shop.HR.EMPLOYEES"
    assert body["records"] == 107
    assert body["text"] == "demo-20260106 shop.HR.EMPLOYEES: complete, 107 rows"


def test_webhook_that_refuses_or_is_slow_is_reported(receiver: ThreadingHTTPServer) -> None:
    gone = run_hook(Hook(webhook=_url(receiver, "/gone")), EVENT)
    assert not gone.is_ok
    assert "404" in gone.detail
    slow = run_hook(Hook(webhook=_url(receiver, "/slow"), timeout_seconds=0.2), EVENT)
    assert not slow.is_ok
    assert "0.2 seconds" in slow.detail


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/s3cret-token", "ftp://h/s3cret-token", "s3cret-token", "http://127.0.0.1:9/s3cret-token x"],
)
def test_webhook_url_is_in_no_result(url: str) -> None:
    result = run_hook(Hook(webhook=SecretStr(url), timeout_seconds=2), EVENT)
    assert not result.is_ok
    assert result.detail
    assert "s3cret" not in result.model_dump_json()


def test_webhook_that_answers_byte_by_byte_is_stopped_at_its_time_limit(receiver: ThreadingHTTPServer) -> None:
    began = time.monotonic()
    drip = run_hook(Hook(webhook=_url(receiver, "/drip"), timeout_seconds=0.3), EVENT)
    assert time.monotonic() - began < 10  # all of it would take 20
    assert (drip.is_ok, drip.detail) == (False, "did not answer within 0.3 seconds")


def test_answer_with_an_unknown_code_is_reported(receiver: ThreadingHTTPServer) -> None:
    receiver.targets = {"nowhere": "http://elsewhere.example/"}  # type: ignore[attr-defined]
    result = run_hook(Hook(webhook=_url(receiver, "/redirect/399/nowhere")), EVENT)
    assert not result.is_ok
    assert says(result.detail, "runtime.answered_with", code=399)


REDIRECTS = (301, 302, 303, 307, 308)


@pytest.mark.parametrize("code", REDIRECTS)
def test_redirect_within_the_host_is_followed_by_a_post_and_reported(receiver: ThreadingHTTPServer, code) -> None:
    receiver.targets = {"here": "/new/s3cret"}  # type: ignore[attr-defined]
    result = run_hook(Hook(webhook=_url(receiver, f"/redirect/{code}/here")), EVENT)
    assert result.is_ok
    assert says(result.detail, "runtime.redirected_within_its_host")
    assert "s3cret" not in result.detail
    assert [json.loads(body)["table"] for body in receiver.bodies] == [EVENT.table]  # type: ignore[attr-defined]
    assert receiver.others == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", REDIRECTS)
@pytest.mark.parametrize("target", ["port", "name", "file", "ftp", "loop", "nothing"])
def test_redirect_to_another_host_is_not_followed_and_the_lost_event_is_reported(
    receiver: ThreadingHTTPServer, code, target
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as other:
        other.bodies, other.others = [], []  # type: ignore[attr-defined]
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        receiver.targets = {  # type: ignore[attr-defined]
            "port": f"http://127.0.0.1:{other.server_port}/s3cret",
            "name": f"http://localhost:{receiver.server_port}/s3cret",
            "file": "file:///etc/passwd?s3cret",
            "ftp": f"ftp://127.0.0.1:{receiver.server_port}/s3cret",
            "loop": f"/redirect/{code}/loop?s3cret",
            "nothing": "http://[s3cret",
        }
        result = run_hook(Hook(webhook=_url(receiver, f"/redirect/{code}/{target}")), EVENT)
        other.shutdown()
        thread.join()
    assert not result.is_ok
    assert result.detail
    assert "s3cret" not in result.detail
    assert receiver.bodies == receiver.others == other.bodies == other.others == []  # type: ignore[attr-defined]


def test_redirect_may_lead_to_https_and_never_back() -> None:
    def is_within(asked: str, leads_to: str) -> bool:
        return is_within_host(urlsplit(asked), urlsplit(leads_to))

    assert is_within("http://h/a", "https://h/b")
    assert is_within("https://H/a", "https://h:443/b")
    assert not is_within("https://h/a", "http://h/b")
    assert not is_within("http://h:8080/a", "https://h/b")
    assert not is_within("https://h/a", "https://h.example.com/b")


def test_a_command_starts_in_the_folder_of_the_configuration(tmp_path):
    (tmp_path / "notify.sh").write_text("#!/bin/sh\npwd > here\n")
    (tmp_path / "notify.sh").chmod(0o755)
    assert run_hook(Hook(command="./notify.sh"), EVENT, folder=tmp_path).is_ok
    assert (tmp_path / "here").read_text() == f"{tmp_path}\n"
