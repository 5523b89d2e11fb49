"""An export of a real store, read by DuckDB, pandas and Polars; docs/recipes/analysis.md shows it.

``nox -s analysis`` runs it in an empty folder, where nothing but the wheel and these tools is.
"""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pandas  # pyright: ignore[reportMissingImports]
import polars  # pyright: ignore[reportMissingImports]

from messagedb import Client, NewMessage, embedded

COLUMNS = """{
    stream_name: 'VARCHAR', type: 'VARCHAR', global_position: 'BIGINT',
    time: 'VARCHAR', data: 'JSON'
}"""
QUESTION = "SELECT type, (data->>'amount')::BIGINT AS amount FROM 'orders.parquet' ORDER BY amount"


def write_files() -> None:
    """Write three orders, of which one is cancelled, and export them to both files."""
    with embedded.start() as server:
        with Client(server.url) as client:
            for id, amount in [("1", 40), ("2", 2), ("3", 900)]:
                client.write_message(f"order-{id}", NewMessage("Placed", {"amount": amount}))
            client.write_message("order-2", NewMessage("Cancelled", {"reason": "too small"}))
        export = ["--url", server.url, "export", "orders.ndjson", "order"]
        subprocess.run([sys.executable, "-m", "messagedb", *export], check=True)
    rows = f"SELECT * FROM read_json('orders.ndjson', columns = {COLUMNS})"
    duckdb.execute(f"COPY ({rows}) TO 'orders.parquet' (FORMAT parquet)")


def read_with_pandas() -> None:
    """Read both files with pandas."""
    lines = pandas.read_json("orders.ndjson", lines=True)  # data and metadata: a dict in each row
    placed = lines[lines["type"] == "Placed"]
    assert sum(data["amount"] for data in placed["data"]) == 942

    table = pandas.read_parquet("orders.parquet")  # needs pyarrow
    assert list(table["stream_name"]) == ["order-1", "order-2", "order-3", "order-2"]


def read_with_polars() -> None:
    """Read both files with Polars."""
    lines = polars.scan_ndjson("orders.ndjson")  # data is a struct with the fields of all types
    amount = polars.col("data").struct.field("amount")
    assert lines.select(amount.sum()).collect().item() == 942

    columns = {"type": polars.String, "global_position": polars.Int64}
    narrow = polars.scan_ndjson("orders.ndjson", schema=columns)
    assert narrow.collect().rows() == [
        ("Placed", 1),
        ("Placed", 2),
        ("Placed", 3),
        ("Cancelled", 4),
    ]

    table = polars.scan_parquet("orders.parquet")  # data, which is JSON, is binary
    assert table.collect().schema["data"] == polars.Binary
    assert table.select("type").collect().to_series().to_list().count("Placed") == 3


def read_from_duckdb() -> None:
    """Hand the answer of DuckDB to pandas and to Polars, with the fields taken out of the data."""
    answer = duckdb.sql(QUESTION)
    assert answer is not None  # as it would be for a statement without rows
    assert answer.df()["amount"].sum() == 942
    assert answer.pl()["amount"].to_list() == [2, 40, 900, None]


if __name__ == "__main__":
    write_files()
    read_with_pandas()
    read_with_polars()
    read_from_duckdb()
    print(f"pandas {pandas.__version__}, Polars {polars.__version__}, DuckDB {duckdb.__version__}")
