"""Which Spark session is used, and whether we may stop it; the only module that starts Spark.

A session that exists already is never configured, stopped or replaced.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from statekeeper.config.sections.spark import SparkConfig
from statekeeper.errors import ConfigError, StatekeeperError, brief

_LOG = logging.getLogger("statekeeper.spark")
APP_NAME = "statekeeper"


class Flavour(StrEnum):
    """How the session communicates with Spark: jobs are tagged and cancelled differently."""

    CLASSIC = "classic"
    CONNECT = "connect"


class Ownership(StrEnum):
    """Who made the session: one that we made is stopped at the end, any other is left running."""

    OURS = "ours"
    GIVEN = "given"


@dataclass(frozen=True)
class HeldSession:
    """A Spark session, its flavour and who owns it. `spark` is a SparkSession of either flavour."""

    spark: Any
    flavour: Flavour
    ownership: Ownership

    @classmethod
    def of(cls, spark: Any, ownership: Ownership) -> HeldSession:
        """A session whose flavour is recognized by the module of its class."""
        is_connect = "connect" in type(spark).__module__
        return cls(spark, Flavour.CONNECT if is_connect else Flavour.CLASSIC, ownership)

    @property
    def parallelism(self) -> int:
        """How many tasks Spark runs at once, by its default parallelism."""
        if self.flavour is Flavour.CLASSIC:
            return int(self.spark.sparkContext.defaultParallelism)
        # Connect has no call for it, but splits a range into as many partitions.
        from pyspark.sql.functions import spark_partition_id

        return int(self.spark.range(10_000).select(spark_partition_id()).distinct().count())

    @property
    def is_speculating(self) -> bool:
        """Whether Spark may run a second attempt of a task at the same time as the first."""
        if self.flavour is Flavour.CLASSIC:
            value = self.spark.sparkContext.getConf().get("spark.speculation", "false")
        else:
            value = self.spark.conf.get("spark.speculation", "false")
        return str(value).lower() == "true"

    def set_retry_policy(self, seconds: float) -> None:
        """If the session is our own Connect client, retry for about `seconds` instead of Spark's ten minutes."""
        if self.flavour is Flavour.CONNECT and self.ownership is Ownership.OURS:
            from pyspark.sql.connect.client.retries import DefaultPolicy

            retries = max(3, int(seconds // 2))
            policy = DefaultPolicy(max_retries=retries, initial_backoff=100, backoff_multiplier=2.0, max_backoff=2000)
            self.spark.client.set_retry_policies([policy])

    def stop(self) -> None:
        """Stop it if it is ours; never raises."""
        if self.ownership is Ownership.OURS:
            with suppress(Exception):
                self.spark.stop()


def hold_session(settings: SparkConfig, *, given: Any | None = None) -> HeldSession:
    """Choose the session: the caller's, else the active one, else a DatabricksSession if this is Databricks, else a new
    one with `settings`.

    Raises:
        ConfigError: pyspark is not installed, or no session can be made.
    """
    if given is not None:
        return HeldSession.of(given, Ownership.GIVEN)
    active = _active_session()
    if active is not None:
        if settings.master or settings.remote or settings.conf:
            _LOG.warning("a Spark session is active and is used as it is: execution.spark is not applied to it")
        return HeldSession.of(active, Ownership.GIVEN)
    try:
        databricks = _databricks_session()
        if databricks is not None:
            return HeldSession.of(databricks, Ownership.GIVEN)
        return HeldSession.of(_made(settings), Ownership.OURS)
    except StatekeeperError:
        raise
    except Exception as error:  # pyspark's own, py4j's, grpc's
        where = settings.remote or settings.master or "as the environment says"
        raise ConfigError(
            f"no Spark session could be made ({where}): {first_line(error)}", hint=_hint(error)
        ) from error


def inheriting_thread(**arguments: Any) -> threading.Thread:
    """A thread that inherits this thread's settings in the JVM: scheduler pool, job group, tags.

    `arguments` are those of `threading.Thread`. Without an active classic session there is nothing to inherit.
    """
    pyspark = sys.modules.get("pyspark")
    context = getattr(pyspark, "SparkContext", None)
    if context is None or context._active_spark_context is None:  # noqa: SLF001 - there is no public way to ask
        return threading.Thread(**arguments)
    thread: threading.Thread = pyspark.InheritableThread(**arguments)  # type: ignore[union-attr]
    return thread


_LOST = ("RetriesExceeded", "RETRIES_EXCEEDED", "INVALID_HANDLE.SESSION", "UNAVAILABLE", "stopped SparkContext",
         "SparkContext was shut down", "Py4JNetworkError", "ConnectionRefusedError", "Connection refused")  # fmt: skip


def is_session_lost(error: BaseException) -> bool:
    """Whether an error of Spark says that the session itself is gone, so that it takes no further job."""
    text = f"{type(error).__name__}: {error}"
    return any(word in text for word in _LOST)


def first_line(error: BaseException) -> str:
    """The error's type and first line, without Spark's long traces."""
    text = brief(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _active_session() -> Any | None:
    _pyspark()
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    try:
        return SparkSession.active()
    except PySparkRuntimeError:
        return None


def _databricks_session() -> Any | None:
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return None
    try:
        from databricks.connect import DatabricksSession  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return DatabricksSession.builder.getOrCreate()


def _made(settings: SparkConfig) -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(APP_NAME)
    if settings.remote:
        builder = builder.remote(settings.remote)
    elif settings.master:
        builder = builder.master(settings.master)
    if not settings.remote:
        builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    for name, value in settings.conf.items():
        builder = builder.config(name, str(value).lower() if isinstance(value, bool) else str(value))
    with _same_python():
        return builder.getOrCreate()


@contextmanager
def _same_python() -> Iterator[None]:
    """Make sessions created in this block run the current Python on executors.

    Otherwise it would be the first `python3` of the PATH. Spark takes this setting only from the environment. That is
    the host's, so it is restored.
    """
    name = "PYSPARK_PYTHON"
    if name in os.environ:
        yield
        return
    os.environ[name] = sys.executable
    try:
        yield
    finally:
        del os.environ[name]


def _pyspark() -> None:
    try:
        import pyspark  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise ConfigError(
            "engine: spark needs pyspark, which is not installed here",
            hint="pip install 'statekeeper[spark]', or use engine: local",
        ) from error


def _hint(error: Exception) -> str:
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text or "Java gateway" in text:
        return "Spark needs Java 17 or newer: install it, or set JAVA_HOME"
    if "CONNECT" in text.upper() or "UNAVAILABLE" in text:
        return "check execution.spark.remote, and that the Spark Connect server runs"
    return "check execution.spark, and what Spark printed on standard error"
