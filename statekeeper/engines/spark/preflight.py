"""Checks, before any job, that executors can run jobs. It starts as many Python workers as will be used.

Decides what is wrong and what the user can do about it. If executors lack the package, it is sent to them as a zip;
nothing else is. Missing modules end the run; a source that executors cannot connect to ends only the jobs that read it.
"""

from __future__ import annotations

import atexit
import logging
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from pydantic import BaseModel, ConfigDict

from statekeeper import __version__
from statekeeper.config.sections.storage import StorageConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.spark.jobs import Function, run_job
from statekeeper.engines.spark.network_check import NetworkCheck
from statekeeper.engines.spark.place_check import PlaceCheck
from statekeeper.engines.spark.session import Flavour, HeldSession, first_line
from statekeeper.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

_LOG = logging.getLogger("statekeeper.spark")
_NEEDED = ("pydantic", "duckdb", "oracledb", "psutil", "yaml")
_NO_STORAGE = StorageConfig()
_MAX_ASKED = 64
_PARTITION = "statekeeper.engines.spark.partition"
PACKAGE = Path(__file__).resolve().parents[2]


class Answer(BaseModel):
    """A Python worker's report about itself.

    Attributes:
        modules: versions by module; None if the module cannot be imported.
        word: the random text that it read in the exchange.
        refusal: why it could not read or write in the exchange.
        unconnected: for each address of each source, why it could not connect; None if it could.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    host: str
    python: str
    modules: dict[str, str | None]
    word: str | None
    refusal: str | None
    unconnected: dict[str, list[str | None]]


@dataclass(frozen=True)
class Cluster:
    """Executors that have passed the checks.

    Attributes:
        parallelism: how many tasks run at once.
        is_speculating: whether Spark may run a second attempt of a slow task.
        unreachable: by the source's name, which executors cannot connect to it, and why.
    """

    held: HeldSession
    parallelism: int
    is_speculating: bool
    unreachable: Mapping[str, str]


def inspect(
    held: HeldSession,
    exchange: Path,
    *,
    parallelism: int | None,
    sources: Mapping[str, JobSource],
    modules: Sequence[str] = (),
    storage: StorageConfig = _NO_STORAGE,
) -> Cluster:
    """Check the executors; if all they lack is the package, send it and check again.

    `modules` names the modules that jobs will need. `storage` says how an object store of the exchange is reached.

    Raises:
        ConfigError: the executors cannot run jobs.
    """
    slots = parallelism or held.parallelism
    network = NetworkCheck.of(sources)
    place = PlaceCheck(exchange, storage)
    word = place.put_word()
    question = _question(place, network, (_PARTITION, *modules))
    answers = _ask(held, exchange, slots, question)
    if any(answer.modules["statekeeper"] is None for answer in answers) and not _lacking(answers):
        send_package(held)
        _LOG.info("statekeeper is not installed on the executors: it was sent there")
        answers = _ask(held, exchange, slots, question)
    _check_answers(answers, place, word)
    unreachable = network.unreachable((answer.host, answer.unconnected) for answer in answers)
    return Cluster(held, slots, held.is_speculating, unreachable)


def preflight_tag(exchange: Path) -> str:
    """The tag by which the preflight job of an exchange can be cancelled."""
    return f"preflight-{exchange.name.rpartition('-')[2]}"


def _ask(held: HeldSession, exchange: Path, slots: int, question: Function) -> tuple[Answer, ...]:
    try:
        lines = run_job(held, question, partitions=min(slots, _MAX_ASKED), tag=preflight_tag(exchange))
    except Exception as error:
        hint = "read the executors' log"
        if "PYTHON_VERSION_MISMATCH" in str(error):
            hint = f"let executors run Python {sys.version_info.major}.{sys.version_info.minor} too: set PYSPARK_PYTHON"
        raise ConfigError(f"Spark could not run a first job: {first_line(error)}", hint=hint) from error
    return tuple(Answer.model_validate_json(line) for line in lines)


def _lacking(answers: tuple[Answer, ...]) -> list[str]:
    lacking = {name for each in answers for name, version in each.modules.items() if version is None}
    return sorted(lacking - {"statekeeper"})


def _check_answers(answers: tuple[Answer, ...], place: PlaceCheck, word: str) -> None:
    if lacking := _lacking(answers):
        raise ConfigError(
            f"executors on {answers[0].host} lack {', '.join(lacking)}",
            hint="install them where executors run, best with the wheel of statekeeper itself: pip install statekeeper",
        )
    for answer in answers:
        there = answer.modules["statekeeper"]
        if there != __version__:
            what = f"statekeeper {there}" if there else "no statekeeper that can be imported"
            raise ConfigError(
                f"executors on {answer.host} have {what}, and the driver has {__version__}",
                hint="install the same version on both",
            )
        if answer.word != word:
            raise ConfigError(
                f"executors on {answer.host} do not see the folder of output.base_path as the driver does: "
                f"{answer.refusal or 'another folder has that name'} ({place.folder})",
                hint=place.hint_on_reading,
            )
        if answer.refusal is not None:
            raise ConfigError(
                f"executors on {answer.host} cannot write to {place.folder.parent}: {answer.refusal}",
                hint=place.hint_on_writing,
            )


def _question(place: PlaceCheck, network: NetworkCheck, needed: tuple[str, ...]) -> Function:
    """The function that executors run. It is sent by value, and must work where statekeeper is not installed.

    It counts statekeeper as installed if all modules in `needed` can be imported.
    """
    modules = ("statekeeper", *_NEEDED, *place.modules)
    connect, try_place = network.connector(), place.trial()

    def ask(batches: Any) -> Iterator[pa.RecordBatch]:
        import importlib
        import json as local_json
        import os
        import platform
        import socket

        import pyarrow as pa

        def version(name: str) -> str | None:
            try:
                module = importlib.import_module(name)
                if name == "statekeeper":
                    for each in needed:
                        importlib.import_module(each)
            except ImportError:
                return None
            return str(getattr(module, "__version__", "unknown"))

        for batch in batches:
            for index in batch.column(0).to_pylist():
                word, refusal = try_place(f"{index}-{os.getpid()}")
                found = {name: version(name) for name in modules} | {"pyarrow": pa.__version__}
                answer = {
                    "host": socket.gethostname(),
                    "python": platform.python_version(),
                    "modules": found,
                    "word": word,
                    "refusal": refusal,
                    "unconnected": connect(),
                }
                line = local_json.dumps(answer)
                yield pa.RecordBatch.from_arrays([pa.array([line], pa.string())], ["outcome"])

    return ask


def send_package(held: HeldSession) -> None:
    """Make statekeeper importable in the Python workers of a session."""
    # Executors fetch this file when they first need it, which may be late: it is kept until this process ends.
    folder = tempfile.mkdtemp(prefix="statekeeper-shipped-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    package = str(zip_package(Path(folder)))
    match held.flavour:
        case Flavour.CLASSIC:
            held.spark.sparkContext.addPyFile(package)  # addArtifacts raises in a classic session of Spark 3.5
        case Flavour.CONNECT:
            held.spark.addArtifacts(package, pyfile=True)
        case _:
            assert_never(held.flavour)


def zip_package(folder: Path) -> Path:
    """Write `statekeeper.zip`, with the package's Python files, to a folder."""
    path = folder / "statekeeper.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            relative = file.relative_to(PACKAGE)
            if relative.parts[0] != "legacy":
                archive.write(file, Path("statekeeper") / relative)
    return path
