"""The bare loop: the same rows in the same chunks to Parquet, in as many processes, and nothing else.

    python -m benchmarks.local.bare DATABASE ROWS FOLDER WORKERS

No plan, count, checksum, receipt, fsync, check or publication: what reading with DuckDB and writing with pyarrow cost.
"""

import multiprocessing
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.local.dataset import CHUNK_ROWS, ROW_GROUP_ROWS


def copy_chunk(database: str, folder: str, start: int) -> int:
    with duckdb.connect(database, read_only=True, config={"threads": 1}) as connection:
        query = "SELECT * FROM lineitem WHERE rowid >= ? AND rowid < ?"
        reader = connection.sql(query, params=[start, start + CHUNK_ROWS]).to_arrow_reader(ROW_GROUP_ROWS)
        rows = 0
        path = f"{folder}/part-{start // CHUNK_ROWS:05d}.parquet"
        with pq.ParquetWriter(path, reader.schema, compression="zstd", version="2.6") as writer:
            for batch in reader:
                writer.write_table(pa.Table.from_batches([batch]), row_group_size=ROW_GROUP_ROWS)
                rows += batch.num_rows
    return rows


def main() -> None:
    database, rows, folder, workers = sys.argv[1:]
    Path(folder).mkdir(parents=True)
    chunks = [(database, folder, start) for start in range(0, int(rows), CHUNK_ROWS)]
    with multiprocessing.get_context("forkserver").Pool(int(workers)) as pool:
        copied = sum(pool.starmap(copy_chunk, chunks, chunksize=1))
    if copied != int(rows):
        raise SystemExit(f"copied {copied} rows of {rows}")


if __name__ == "__main__":
    main()
