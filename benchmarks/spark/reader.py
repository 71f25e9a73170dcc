"""A Spark data source in Python that reads `lineitem` of a DuckDB file: what somebody would write without statekeeper.

It checks nothing, and its rows go through the JVM, which writes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

SCHEMA = (
    "l_orderkey bigint, l_partkey int, l_suppkey int, l_linenumber smallint, l_quantity decimal(15,2), "
    "l_extendedprice decimal(15,2), l_discount double, l_tax double, l_returnflag string, l_linestatus string, "
    "l_shipdate date, l_commitdate date, l_received_at timestamp_ntz, l_shipinstruct string, l_shipmode string, "
    "l_comment string"
)


@dataclass
class RowRange(InputPartition):
    """Half-open range of row ids."""

    first: int
    end: int


class DuckDBRows(DataSource):
    """Options: `database`, `rows`, `chunk`."""

    @classmethod
    def name(cls) -> str:
        return "duckdb_rows"

    def schema(self) -> str:
        return SCHEMA

    def reader(self, schema: object) -> "DuckDBRowsReader":  # noqa: ARG002 - it is ours
        return DuckDBRowsReader(self.options)


class DuckDBRowsReader(DataSourceReader):
    """Arrow batches of a range of rows a partition."""

    def __init__(self, options: dict[str, str]) -> None:
        self.options = dict(options)

    def partitions(self) -> list[RowRange]:
        rows, chunk = int(self.options["rows"]), int(self.options["chunk"])
        return [RowRange(first, min(first + chunk, rows)) for first in range(0, rows, chunk)]

    def read(self, partition: RowRange) -> Iterator[object]:
        import duckdb

        with duckdb.connect(self.options["database"], read_only=True) as connection:
            found = connection.execute(
                "select * from lineitem where rowid >= ? and rowid < ?", [partition.first, partition.end]
            )
            yield from found.to_arrow_reader(16_384)
