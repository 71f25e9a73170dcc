"""Drives oracle-parquet-exporter without Oracle's client libraries; runs in that tool's own environment.

    python parquet_exporter.py HOST PORT SERVICE USER SCHEMA TABLE FOLDER     (the password in ORACLE_PASSWORD)

Its command always loads Oracle's client libraries, and fails without them. Here that call does nothing, so that its
driver reads in thin mode, like the others in the benchmark; and the table is given instead of searched for.
Everything else is its own code with its own defaults.
"""

import logging
import os
import sys

import oracledb

oracledb.init_oracle_client = lambda *_, **__: None

from oracle_parquet_exporter.main import OracleParquetExporter  # noqa: E402 - the call must be gone before


def main() -> None:
    host, port, service, user, schema, table, folder = sys.argv[1:]
    exporter = OracleParquetExporter(
        username=user,
        password=os.environ["ORACLE_PASSWORD"],
        hostname=host,
        service_name=service,
        port=int(port),
        schemas=[schema],
        table_name_include_pattern=f"^{table}$",
        table_name_exclude_pattern=None,
        output_directory=folder,
        overwrite=True,
        compression_method="zstd",
        batch_size=10_000,
        row_limit=-1,
        isolation_level="SERIALIZABLE",
        lowercase_object_names=False,
        parquet_max_file_size=200_000_000,
        logger=logging.getLogger(),
    )
    exporter.get_tables = lambda **_: [table]
    exporter.export_tables()


if __name__ == "__main__":
    main()
