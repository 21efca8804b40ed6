"""A lake in a catalogue by REST is kept as one in the store's own is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from bcp_analytics import erase_user
from bcp_analytics.archive import archive, erase
from bcp_analytics.errors import ArchiveError
from tests.archive.rest_catalog import Catalog, rest_catalog
from tests.archive.rows import drop, few
from tests.archive.test_erase_runs import JANE, JOHN, insert

pytest.importorskip("pyiceberg", reason="needs the extra iceberg")
pytest.importorskip("sqlalchemy", reason="needs the extra iceberg")
from bcp_analytics.archive import _iceberg
from tests.archive.test_lake import everything, on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    Db = psycopg.Connection[Any]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
TOKEN = "swordfish"


@pytest.fixture
def catalog(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    import pyiceberg.catalog  # noqa: PLC0415
    from pyiceberg.utils.config import Config  # noqa: PLC0415

    monkeypatch.setenv("PYICEBERG_CATALOG__BCP__TOKEN", TOKEN)
    # pyiceberg reads the environment once, as it is imported.
    monkeypatch.setattr(pyiceberg.catalog, "_ENV_CONFIG", Config())
    with rest_catalog(tmp_path_factory.mktemp("catalog")) as made:
        yield made


def published(conn: Db, catalog: Catalog) -> tuple[Counter[str], set[str], int]:
    """The people in the lake, its files, and how many snapshots it has."""
    with _iceberg.opened(conn, catalog.url) as found:
        table = found.table("tool_usage_logs")
        assert table is not None
        return (
            Counter(row["user_id"] for row in table.scan().to_arrow().to_pylist()),
            {file.file_path.rpartition("/")[2] for file in _iceberg.files(table)},
            len(table.snapshots()),
        )


def test_it_has_what_the_archive_has_and_nobody_who_is_erased(
    clean_db: Db, tmp_path: Path, catalog: Catalog
) -> None:
    for day in ("2020-01-05", "2020-01-06"):
        insert(clean_db, day, JANE, "s-jane", 1)
        insert(clean_db, day, JOHN, "s-john", 3)
    archive(clean_db, tmp_path, iceberg=catalog.url)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    assert published(clean_db, catalog)[:2] == ({JANE: 2, JOHN: 2}, on_disk(tmp_path))
    # Late rows of a chunk that is still there.
    insert(clean_db, "2020-01-06", JOHN, "s-john", 4)
    archive(clean_db, tmp_path)
    assert published(clean_db, catalog)[:2] == ({JANE: 2, JOHN: 3}, on_disk(tmp_path))
    assert JANE in everything(tmp_path)
    erase_user(clean_db, JANE)
    erase(clean_db)
    assert published(clean_db, catalog) == ({JOHN: 3}, on_disk(tmp_path), 1)
    assert JANE not in everything(tmp_path)
    assert catalog.tokens == {f"Bearer {TOKEN}"}
    # Nothing of it is in the store, not even the token.
    assert clean_db.execute("select count(*) from bcp_lake.iceberg_tables").fetchall() == [(0,)]
    assert TOKEN not in str(clean_db.execute("select l::text from bcp_internal.archive_lake l").fetchall())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_fails_is_repaired_by_the_next_run(
    clean_db: Db, tmp_path: Path, catalog: Catalog, when: str
) -> None:
    few(clean_db, "2020-01-05")
    archive(clean_db, tmp_path, iceberg=catalog.url)
    few(clean_db, "2020-01-06")
    commits = catalog.commits
    catalog.fail = when
    with pytest.raises(ArchiveError, match="The lake could not be changed") as caught:
        archive(clean_db, tmp_path)
    assert catalog.commits > commits
    assert "secret" not in f"{caught.value} {caught.value.hint}"
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    archive(clean_db, tmp_path)
    people, files, _ = published(clean_db, catalog)
    assert people.total() == 6
    assert files == on_disk(tmp_path)
