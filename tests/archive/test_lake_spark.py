"""The views of the lake on a Spark cluster of a master and two workers, each a process of its own.

BCP_TEST_SPARK=1 runs it, where pyspark and Java are: pip install pyspark.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bcp_analytics.archive import _views
from tests.archive.lake_answers import KEYS, VALUES
from tests.archive.test_lake_views import TABLES, compare, select, store
from tests.targets import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    Db = psycopg.Connection[Any]

__all__ = ["store"]
HOST = "127.0.0.1"
pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("BCP_TEST_SPARK"), reason="starts a cluster: BCP_TEST_SPARK=1"),
    pytest.mark.any_target("Spark sees files"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Yield the URL of a master with two workers of a core each."""
    import pyspark  # noqa: PLC0415

    home = Path(pyspark.__file__).parent
    port = free_port()
    environment = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
    }
    program = [str(home / "bin" / "spark-class")]
    with ExitStack() as started:

        def start(name: str, *arguments: str) -> Path:
            log = folder / f"{name}.log"
            out = started.enter_context(log.open("w"))
            process = subprocess.Popen([*program, *arguments], env=environment, stdout=out, stderr=out)
            started.callback(process.wait)
            started.callback(process.terminate)
            return log

        def wait_for(log: Path, words: str, number: int) -> None:
            # Java starts for more than a minute where others use the processors, too.
            until = time.monotonic() + 300
            while log.read_text().count(words) < number:
                assert time.monotonic() < until, log.read_text()[-2000:]
                time.sleep(0.2)

        of = "org.apache.spark.deploy"
        ports = ["--webui-port", "0"]
        master = start("master", f"{of}.master.Master", "--host", HOST, "--port", str(port), *ports)
        wait_for(master, "New state: ALIVE", 1)
        for n in (1, 2):
            start(
                f"worker{n}", f"{of}.worker.Worker", "--host", HOST, "--cores", "1", "--memory", "1200m",
                *ports, "-d", str(folder), f"spark://127.0.0.1:{port}",
            )  # fmt: skip
        wait_for(master, "Registering worker", 2)
        yield f"spark://127.0.0.1:{port}"


@pytest.mark.timeout(1800)
def test_spark(store: Db, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    from bcp_analytics.archive import _iceberg  # noqa: PLC0415

    listed = {}
    with _iceberg.opened(store, "store") as catalog:
        for table in TABLES:
            found = catalog.table(table)
            assert found is not None
            listed[_views._BASES[table]] = [file.file_path for file in _iceberg.files(found)]
    (tmp_path / "spark").mkdir()
    said = {}
    with cluster(tmp_path / "spark") as master:
        for name, files, made in (
            # Its extension for Iceberg is in no registry of Python: the table's list of files stands for it.
            ("Iceberg", listed, []),
            ("paths", {}, _views.sources("spark", str(tmp_path), by_path=True)),
        ):
            order = {
                "master": master,
                "files": files,
                "statements": _views.views("spark", made),
                "questions": {view: select(view) for view in KEYS},
            }
            done = subprocess.run(
                [sys.executable, "-m", "tests.archive.spark_asks"],
                input=json.dumps(order),
                stdout=subprocess.PIPE,
                env=os.environ | {"TZ": "UTC", "PYSPARK_PYTHON": sys.executable},
                text=True,
                check=True,
            )
            answer = json.loads(done.stdout)
            assert answer["executors"] == 2
            said[name] = answer["seconds"]
            compare(store, f"Spark, {name}", lambda view, rows=answer["rows"]: typed(view, rows[view]))
    with capsys.disabled():
        sys.stdout.write(json.dumps(said) + "\n")


def typed(view: str, rows: list[list[Any]]) -> list[tuple[Any, ...]]:
    """Days and times came as text."""
    kinds = {"day": date.fromisoformat} | dict.fromkeys(
        ("bucket", "first_seen", "last_seen"), datetime.fromisoformat
    )
    of = [kinds.get(name, lambda value: value) for name in (*KEYS[view], *VALUES[view])]
    return [tuple(kind(value) for kind, value in zip(of, row, strict=True)) for row in rows]
