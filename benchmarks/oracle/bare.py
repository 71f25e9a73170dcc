"""The bare loop: the same statements to Parquet, in as many processes, and nothing else.

    python -m benchmarks.oracle.bare TASK FOLDER WORKERS

TASK is a JSON file: `dsn`, and `chunks`, each of which is a statement and its bind values. No plan, count, checksum,
receipt, fsync, check or publication: what reading with oracledb and writing with pyarrow cost.
"""

import json
import multiprocessing
import sys
from pathlib import Path

import oracledb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.oracle.dataset import COLUMNS, PASSWORD, USER

BATCH_ROWS = 50_000
LOSSLESS = {
    "int64": pa.int64(),
    "decimal": pa.decimal128(15, 2),
    "string": pa.string(),
    "timestamp": pa.timestamp("us"),
}
SCHEMA = pa.schema([(one.name, LOSSLESS[one.lossless]) for one in COLUMNS])


def copy_chunk(dsn: str, number: int, statement: str, binds: list[str], path: str) -> int:
    """Rows of one chunk, copied."""
    rows = 0
    with (
        oracledb.connect(user=USER, password=PASSWORD, dsn=dsn) as connection,
        pq.ParquetWriter(f"{path}/part-{number:05d}.parquet", SCHEMA, compression="zstd", version="2.6") as writer,
    ):
        for frame in connection.fetch_df_batches(statement, binds, size=BATCH_ROWS, requested_schema=SCHEMA):
            table = pa.Table.from_arrays([pa.array(one) for one in frame.column_arrays()], schema=SCHEMA)
            writer.write_table(table)
            rows += table.num_rows
    return rows


def main() -> None:
    task, folder, workers = sys.argv[1:]
    told = json.loads(Path(task).read_text())
    Path(folder).mkdir(parents=True)
    chunks = [(told["dsn"], number, *chunk, folder) for number, chunk in enumerate(told["chunks"])]
    with multiprocessing.get_context("forkserver").Pool(int(workers)) as pool:
        print(sum(pool.starmap(copy_chunk, chunks, chunksize=1)))


if __name__ == "__main__":
    main()
