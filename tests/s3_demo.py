"""`make run-s3`: the demo, with its output in a bucket of a real S3 server on this machine.

The server's data and keys are in build/s3/, so the next time it goes on where this one ended. On a terminal the server
stays until Ctrl-C, for experiments from a second one; if it is killed meanwhile, it is started again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import obstore
import psutil

from tests.seaweedfs import BUCKET, SeaweedFS

FOLDER = Path("build/s3")
ENVIRONMENT, SERVER_ID, LOCK = FOLDER / "environment.sh", FOLDER / "server.pid", FOLDER / "lock"
PROGRAM = os.path.relpath(Path(sys.executable).parent / "statekeeper")
RUN = ("run", "configs/demo_s3.yml")


def main() -> int:
    """The exit code of the first run that fails, or 0."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("make run-s3 is at work in another terminal; use its server, or end it there", file=sys.stderr)
            return 2
        _kill_an_earlier_server()
        server = SeaweedFS(FOLDER, *_keys())
        try:
            _start(server)
            return _show(server)
        except KeyboardInterrupt:
            return 130
        finally:
            server.kill()
            SERVER_ID.unlink(missing_ok=True)


def _show(server: SeaweedFS) -> int:
    print(f"SeaweedFS, an S3 server, listens on {server.address}; its data are in {FOLDER}/\n", flush=True)
    environment = {**os.environ, **_environment(server)}
    for what in ("first", "again"):
        print(f"$ statekeeper {' '.join(RUN)}", flush=True)
        code = subprocess.run([PROGRAM, *RUN], env=environment, check=False).returncode
        if code:
            return code
        if what == "first":
            _show_objects(server)
    _show_what_to_try()
    if sys.stdin.isatty():
        _stay(server)
    return 0


def _show_objects(server: SeaweedFS) -> None:
    found = sorted((each["path"], each["size"]) for page in obstore.list(server.bucket) for each in page)
    print(f"\nobjects of s3://{BUCKET}:")
    for path, size in found:
        print(f"{size:>12,}  {path}")
    print(flush=True)


def _show_what_to_try() -> None:
    print(f"""
Now break it, in a second terminal, in this folder:

  . {ENVIRONMENT}
  {PROGRAM} {" ".join(RUN)} --force-reprocess & sleep 2; kill -9 $!
  {PROGRAM} {" ".join(RUN)}       # continues what the killed run had begun
  kill -9 $(cat {SERVER_ID})                      # the server, best during a run: it comes back, and the run goes on
""")
    if sys.stdin.isatty():
        print("The server stays until you press Ctrl-C here.", flush=True)
    else:
        print("The server ends now, since this is no terminal; on one `make run-s3` keeps it until Ctrl-C.", flush=True)


def _stay(server: SeaweedFS) -> None:
    while _waits():
        if server.process is not None and server.process.poll() is not None:
            server.kill()
            _start(server)
            print(f"the server was killed; it is started again, on the same data, at {server.address}", flush=True)


def _waits() -> bool:
    """Wait a moment; False after Ctrl-C."""
    try:
        time.sleep(0.2)
    except KeyboardInterrupt:
        return False
    return True


def _start(server: SeaweedFS) -> None:
    server.restart()
    assert server.process is not None
    SERVER_ID.write_text(f"{server.process.pid}\n")
    with open(ENVIRONMENT, "w", opener=_private) as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in _environment(server).items())


def _environment(server: SeaweedFS) -> dict[str, str]:
    return {"S3_ENDPOINT": server.address, "S3_KEY": server.key, "S3_SECRET": server.secret}


def _keys() -> tuple[str, str]:
    """The key and the secret of the earlier start, or new ones."""
    with suppress(FileNotFoundError):
        lines = ENVIRONMENT.read_text().splitlines()
        said = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        return said["S3_KEY"], said["S3_SECRET"]
    return secrets.token_hex(8), secrets.token_hex(20)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _kill_an_earlier_server() -> None:
    """End the server of a `make run-s3` that was itself killed: it would still have the data in use."""
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(SERVER_ID.read_text()))
        if any(str(FOLDER / "data") in argument for argument in process.cmdline()):
            process.kill()
            process.wait(10)


if __name__ == "__main__":
    sys.exit(main())
