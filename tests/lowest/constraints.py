"""Prints pip's constraints that hold every dependency at its lower bound: `python -m tests.lowest.constraints`.

They are read from pyproject.toml each time, so none can be out of date. Only what statekeeper itself asks for is held,
with the extras; what those packages ask for is the newest that goes with them.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[a-z0-9-]+)(?:\[[a-z,-]+\])?>=(?P<lowest>[0-9.]+)(?:,(?:<|!=)[0-9.]+)*")


def requirements() -> list[str]:
    """What the package and its extras ask for."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    return [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]


def lowest(requirement: str) -> tuple[str, str]:
    """The name and the lower bound of a requirement.

    Raises:
        ValueError: it has none.
    """
    if (found := _REQUIREMENT.fullmatch(requirement)) is None:
        raise ValueError(f"expected a name and a lower bound, such as click>=8.1; found {requirement}")
    return found["name"], found["lowest"]


def main() -> None:
    for requirement in requirements():
        name, version = lowest(requirement)
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
