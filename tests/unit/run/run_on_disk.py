"""Writes runs as they lie on disk, without running anything."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from statekeeper.errors import FailureKind
from statekeeper.model.manifest import LastRun, RunManifest
from statekeeper.model.record import HistoryEntry, Published, StateRecord
from statekeeper.model.state import Failure, Owner, State
from statekeeper.model.table import TableRef
from statekeeper.store import layout
from statekeeper.store.layout import ExtractionLayout

DAY = date(2026, 1, 6)
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
PLAN_ID = "0123456789abcdef" * 2
OWNER = Owner(host="elsewhere", boot_id="boot", pid=4711, started=1.0)


@dataclass(frozen=True)
class RunOnDisk:
    """A run under `cwd/data`, last started from `cwd`."""

    cwd: Path
    run_id: str = "demo-20260106"

    @property
    def base_path(self) -> Path:
        return self.cwd / "data"

    def table(self, name: str) -> TableRef:
        return TableRef(source_name="shop", schema_name="HR", table_name=name, path_name=name)

    def files(self, name: str) -> ExtractionLayout:
        return ExtractionLayout.of(
            base_path=self.base_path, table=self.table(name), extraction_date=DAY, run_id=self.run_id
        )

    def write_manifest(self, *names: str, ended: bool = False, config_path: str | None = None) -> None:
        manifest = RunManifest(
            run_id=self.run_id,
            pipeline="demo",
            extraction_date=DAY.isoformat(),
            config_path=config_path,
            config_fingerprint="sha256:0",
            base_path=str(self.base_path),
            engine="local",
            statekeeper_version="0.1.0",
            tables=tuple(self.table(name) for name in names),
            started_at=NOON,
            ended_at=NOON if ended else None,
        )
        path = layout.manifest_file(self.base_path, self.run_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(manifest.to_bytes())
        last = LastRun(run_id=self.run_id, base_path=str(self.base_path), config_path=config_path)
        pointer = self.cwd / layout.LAST_RUN
        pointer.parent.mkdir(exist_ok=True)
        pointer.write_text(last.model_dump_json())

    def record(self, name: str, state: State, *, owner: Owner = OWNER) -> StateRecord:
        entry = HistoryEntry(trigger="start", source=State.PENDING, dest=State.EXTRACTING, at=NOON, owner=owner)
        is_complete = state is State.COMPLETE
        published = Published(
            plan_id=PLAN_ID,
            records=107,
            bytes=4096,
            checksum="0" * 32,
            output_path=f"data/shop/{name}/202601/06/{self.run_id}.parquet",
            metadata_md5="0" * 32,
            fingerprint="f",
        )
        failure = Failure(
            kind=FailureKind.SOURCE,
            code="ORA-00942",
            message="no such table",
            hint="make it",
            failed_in=State.EXTRACTING,
        )
        return StateRecord(
            run_id=self.run_id,
            pipeline="demo",
            extraction_date=DAY.isoformat(),
            table=self.table(name),
            state=state,
            fingerprint="f",
            plan_id=PLAN_ID,
            chunks_total=12,
            attempts=2,
            owner=owner,
            started_at=NOON,
            ended_at=NOON + timedelta(seconds=90) if is_complete else None,
            published=published if is_complete else None,
            failure=failure if state is State.FAILED else None,
            history=(entry,) * 3,
        )

    def write_state(self, name: str, state: State, *, owner: Owner = OWNER) -> None:
        files = self.files(name)
        files.folder.mkdir(parents=True, exist_ok=True)
        files.state.write_bytes(self.record(name, state, owner=owner).to_bytes())
