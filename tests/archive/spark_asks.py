"""Asks a Spark cluster: statements and questions from stdin, rows to stdout, times to stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    from pyspark.sql import SparkSession  # noqa: PLC0415

    order: dict[str, Any] = json.load(sys.stdin)
    begun = time.monotonic()
    spark = (
        SparkSession.builder.master(order["master"])
        .appName("bcp")
        .config("spark.executor.memory", "1g")
        .config("spark.executor.cores", "1")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        # Not UTC, which the views have to be in all the same.
        .config("spark.sql.session.timeZone", "Asia/Kolkata")
        .getOrCreate()
    )
    took = {"session": time.monotonic() - begun}
    for name, files in order["files"].items():
        spark.read.parquet(*files).createOrReplaceTempView(name)
    for statement in order["statements"]:
        spark.sql(statement)
    found: dict[str, Any] = {}
    for name, question in order["questions"].items():
        begun = time.monotonic()
        found[name] = [list(row) for row in spark.sql(question).collect()]
        took[name] = time.monotonic() - begun
    executors = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
    spark.stop()
    json.dump({"rows": found, "executors": executors, "seconds": took}, sys.stdout, default=str)


if __name__ == "__main__":
    main()
