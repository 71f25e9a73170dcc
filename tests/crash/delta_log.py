"""What the log of a Delta table says, read from its files without any library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class DeltaLog:
    """The log of the table in `folder`, as it is when it is first looked at."""

    folder: Path

    @cached_property
    def versions(self) -> list[list[dict[str, Any]]]:
        """The actions of each version, from the first on."""
        files = sorted((self.folder / "_delta_log").glob("*.json"))
        assert [int(file.stem) for file in files] == list(range(len(files))), "a version is missing"
        return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]

    def files(self, version: int) -> dict[str, str | None]:
        """The files of a version by their paths in the folder, each with the date of its partition."""
        found: dict[str, str | None] = {}
        for actions in self.versions[: version + 1]:
            for removed in (each["remove"] for each in actions if "remove" in each):
                del found[unquote(removed["path"])]  # what is removed is there
            for added in (each["add"] for each in actions if "add" in each):
                path = unquote(added["path"])
                assert path not in found, f"{path} is added twice"
                found[path] = added["partitionValues"].get("extraction_date")
        return found

    @property
    def ever_added(self) -> set[str]:
        """The paths of all files that any version has had."""
        return {path for version in range(len(self.versions)) for path in self.files(version)}

    @property
    def numbers(self) -> dict[str, list[int]]:
        """The numbers of the commits of each application id, in their order."""
        found: dict[str, list[int]] = {}
        for actions in self.versions:
            for each in actions:
                if "txn" in each:
                    found.setdefault(each["txn"]["appId"], []).append(each["txn"]["version"])
        return found
