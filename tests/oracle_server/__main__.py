"""`python -m tests.oracle_server`: the server by hand, or for a handle; says what to install where that is missing."""

from __future__ import annotations

import importlib
import sys
import tomllib

from tests.oracle_server.handle import ROOT

NEEDED = ("numpy", "sqlglot")
"""What the server imports and the project itself does not, so that `make run` installs none of it."""


def main() -> None:
    """Start the program, if everything is there that it imports."""
    if missing := [name for name in NEEDED if not _is_there(name)]:
        print(
            f"the test server needs {' and '.join(missing)}, which `make run` does not install. Type:", file=sys.stderr
        )
        print(f"  {sys.executable} -m pip install {' '.join(map(_required, missing))}", file=sys.stderr)
        sys.exit(2)
    from tests.oracle_server.program import main as run

    run()


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _required(name: str) -> str:
    """The requirement as pyproject.toml has it for the tests, quoted for a shell."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*asked["project"]["dependencies"], *asked["dependency-groups"]["test"]]
    return next(f"'{one}'" for one in needed if one.startswith(name))


main()
