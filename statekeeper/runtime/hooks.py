"""Hooks: commands and webhooks that are notified when an extraction enters a state.

Decides how a hook is run and what it receives. A hook's own failure is returned, never raised: it cannot change a
state. The config defines the hooks; the caller decides when they run, and logs what they return.

A command does not get the whole environment of this process, which contains passwords of databases.
`statekeeper.runtime.webhook` decides how an event is posted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from pydantic import SecretStr

from statekeeper.model.hook_event import HookEvent, HookLike, HookResult

_OUTPUT_KEPT = 2000
"""Bytes of a failed command's output that its result carries."""


_PASSED = frozenset({"PATH", "HOME", "TMPDIR", "LANG", "LANGUAGE"})
_PASSED_PREFIXES = ("LC_", "STATEKEEPER_")
"""The variables of our environment that a command gets, besides those in its `pass_env`."""


def run_hook(
    hook: HookLike, event: HookEvent, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> HookResult:
    """Run a hook until it ends or times out.

    A command gets part of `environ` (None: our own), and every field of the event as `STATEKEEPER_<FIELD>`. It starts
    in `folder` (None: the current one). A webhook gets the fields as a JSON object by POST, with `text`, a sentence for
    chat systems.
    """
    if hook.command is not None:
        passed = _passed(os.environ if environ is None else environ, names=hook.pass_env)
        return _run_command(hook.command, event, timeout=hook.timeout_seconds, environ=passed, folder=folder)
    assert hook.webhook is not None
    return _post(hook.webhook, event, timeout=hook.timeout_seconds)


def _passed(environ: Mapping[str, str], *, names: tuple[str, ...]) -> dict[str, str]:
    """The part of an environment that a command gets."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED or name in names or name.startswith(_PASSED_PREFIXES)
    }


def _run_command(
    template: str, event: HookEvent, *, timeout: float, environ: Mapping[str, str], folder: Path | None
) -> HookResult:
    # Split before values are filled in: a value is always one argument, whatever it contains.
    values = {name: "" if value is None else str(value) for name, value in event.model_dump().items()}
    argv = [word.format_map(values) for word in shlex.split(template)]
    fields = {f"STATEKEEPER_{name.upper()}": value for name, value in values.items()}
    name = f"command {argv[0]}"
    # A file, not a pipe: we must not wait for a child that outlives the command, nor hold all its output in memory.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(  # noqa: S603 - the command is the user's own, run without a shell
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environ, **fields},
                cwd=folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return HookResult(hook=name, is_ok=False, detail=f"could not be started: {error}")
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return HookResult(hook=name, is_ok=False, detail=f"was killed after {timeout:g} seconds{_tail(output)}")
        finally:
            if process.poll() is None:
                _kill_group(process)
        return HookResult(hook=name, is_ok=code == 0, detail="" if code == 0 else f"ended with {code}{_tail(output)}")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _OUTPUT_KEPT))
    text = output.read().decode(errors="replace").strip()
    return f"; its output: {text}" if text else ""


def _post(webhook: SecretStr, event: HookEvent, *, timeout: float) -> HookResult:
    from statekeeper.runtime.webhook import post

    body = json.dumps({**event.model_dump(mode="json"), "text": event.sentence}).encode()
    answer = post(webhook.get_secret_value(), body, timeout=timeout)
    return HookResult(hook="webhook", is_ok=answer.is_ok, detail=answer.detail)
