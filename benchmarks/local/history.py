"""How long `statekeeper history` takes for a table of many dates; and a run, with and without the index of windows.

    python -m benchmarks.local.history [--dates 1000] [--rounds 7]

Two dates are extracted; the documents of the second are copied for each further date. Rounds alternate with
`--version`, which is what every command costs.
"""

import argparse
import hashlib
import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import duckdb

from benchmarks.local.dataset import FOLDER
from benchmarks.local.pipeline import STATEKEEPER
from benchmarks.shared.measured import Measured, compile_as_pip_does, measure
from statekeeper.model.record import StateRecord

FIRST = date(2020, 1, 1)
CONFIG = """\
pipeline: history
sources: {{shop: {{type: duckdb, path: '{folder}/shop.duckdb'}}}}
output: {{base_path: '{folder}/data'}}
tables: [{{table_name: orders, incremental_column: stamp, is_full_extract: false, incremental_timezone: UTC}}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    compile_as_pip_does()
    folder = FOLDER / "history"
    config = _lake(folder, arguments.dates)
    names = ("--version", "history", "run that reads every record", "run that reads the index")
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(arguments.rounds):
        found["--version"].append(measure(STATEKEEPER, "--version"))
        found["history"].append(measure(STATEKEEPER, "history", "orders", config))
        (folder / "data/shop/orders/_windows.json").unlink(missing_ok=True)
        for name, day in zip(names[2:], (2 * number, 2 * number + 1), strict=True):
            found[name].append(measure(STATEKEEPER, "run", config, "--date", _day(arguments.dates + day)))
    for name, rounds in found.items():
        seconds, used = median(one.seconds for one in rounds), median(one.processor for one in rounds)
        print(f"{name:>28} {seconds:6.2f} s {used:6.2f} s of processor time")
    shutil.rmtree(folder)


def _day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def _lake(folder: Path, dates: int) -> str:
    """A lake of so many dates; returns the path of its configuration."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with duckdb.connect(folder / "shop.duckdb") as connection:
        connection.execute("create table orders as select 1::bigint as id, timestamp '2020-01-01 06:00' as stamp")
    config = folder / "history.yml"
    config.write_text(CONFIG.format(folder=folder))
    measure(STATEKEEPER, "backfill", str(config), "--from", _day(0), "--to", _day(1))
    table = folder / "data/shop/orders"
    sample = {path.name: path for path in (table / "202001/02").glob("history-20200102*")}
    for number in range(2, dates):
        day, target = _day(number), table / _day(number)[:7].replace("-", "") / _day(number)[8:]
        target.mkdir(parents=True)
        run_id = f"history-{day.replace('-', '')}"
        shutil.copy(sample["history-20200102.parquet"], target / f"{run_id}.parquet")
        metadata = _moved(sample["history-20200102_metadata.json"], number)
        (target / f"{run_id}_metadata.json").write_text(metadata)
        state = json.loads(_moved(sample["history-20200102_state.json"], number))
        state["published"]["metadata_md5"] = hashlib.md5(metadata.encode(), usedforsecurity=False).hexdigest()
        record = StateRecord.model_validate_json(json.dumps(state))
        (target / f"{run_id}_state.json").write_bytes(record.to_bytes())
    return str(config)


def _moved(sample: Path, number: int) -> str:
    """A document of the second date as that of another date."""
    own, following = _day(number), _day(number + 1)
    text = sample.read_text().replace("2020-01-03", following).replace("2020-01-02", own)
    return text.replace("20200102", own.replace("-", "")).replace("202001/02", f"{own[:7].replace('-', '')}/{own[8:]}")


if __name__ == "__main__":
    main()
