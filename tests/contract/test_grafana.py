"""Every panel of the Grafana dashboards asks what the schema answers, as the role that Grafana has."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.sql.events import ingest, open_alert, something_to_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.any_target("a panel asks functions whose answers are tested on each")

ROOT = Path(__file__).parent.parent.parent
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in (ROOT / "grafana/dashboards").glob("*.json")
}
PANELS = [
    pytest.param(name, panel, id=f"{name}: {panel['title']}")
    for name, dashboard in sorted(DASHBOARDS.items())
    for panel in dashboard["panels"]
]
DATASOURCE = {"type": "grafana-postgresql-datasource", "uid": "bcp"}
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
BEGIN = NOW - timedelta(days=7)

# What else the variables can be set to. Who may look may also write into them.
CHOICES = (
    {},
    dict.fromkeys(("bcp", "tool", "client", "search", "session"), "o'brien'; drop table bcp.users --"),
)


def variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def as_grafana(
    statement: str, dashboard: dict[str, Any], chosen: dict[str, str], interval: str = "3h"
) -> str:
    """Replace variables in the browser, then macros in the data source, as Grafana does.

    `:sqlstring` quotes a value; but what stands for All, where it is given, goes in as it is.
    """
    for name, variable in variables(dashboard).items():
        value = chosen.get(name)
        if value is None and variable["type"] == "query":
            text = variable["allValue"]
        else:
            text = "'" + (value or "").replace("'", "''") + "'"
        statement = statement.replace(f"${{{name}:sqlstring}}", text)
    since, until = (f"'{t:%Y-%m-%dT%H:%M:%S}.000Z'" for t in (BEGIN, NOW + timedelta(hours=1)))
    statement = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN {since} AND {until}", statement)
    statement = statement.replace("$__timeFrom()", since).replace("$__timeTo()", until)
    statement = statement.replace("$__interval", interval)
    assert "$" not in statement, "a macro or variable that Grafana does not know, or that is not quoted"
    return statement


@pytest.fixture(scope="module")
def store(shared_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A store with something of everything, made once since all tests only ask it, and never committed."""
    with closing(psycopg.connect(shared_dsn)) as conn:
        conn.execute("select set_config('bcp.now', %s, true)", [NOW.isoformat()])
        conn.execute("set local timezone = 'UTC'")
        # The ledger goes by the clock of the wall: rows of both clocks are in the range asked.
        for kind, events in something_to_answer(NOW - timedelta(hours=1)).items():
            ingest(conn, events, kind)
        ingest(conn, [{"tool_name": "read"}])
        open_alert(conn)
        yield conn


@pytest.fixture
def grafana(store: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The store as Grafana sees it."""
    with store.transaction(force_rollback=True):
        store.execute("set local role bcp_reader")
        yield store


def test_there_are_the_dashboards() -> None:
    assert set(DASHBOARDS) == {"overview", "tool", "errors", "sessions", "database"}
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("chosen", CHOICES, ids=["all", "quoted"])
@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_is_answered(
    grafana: psycopg.Connection[Any], name: str, panel: dict[str, Any], chosen: dict[str, str]
) -> None:
    assert panel["datasource"] == DATASOURCE
    [target] = panel["targets"]
    found = grafana.execute(as_grafana(target["rawSql"], DASHBOARDS[name], chosen))
    columns = {column.name: column.type_display for column in found.description or []}
    rows = found.fetchall()
    if target["format"] == "time_series":
        kinds = list(columns.values())
        assert next(iter(columns)) == "time"
        assert kinds.pop(0) == "timestamptz"
        if "metric" in columns:
            assert kinds.pop(0) == "text"
            assert len(kinds) == 1, "the series would have the names of the column and of the metric"
        # Grafana takes only these types for numbers.
        assert set(kinds) == {"float8"}
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    if panel["type"] == "stat":
        assert len(rows) <= 1
    units = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
    if panel["type"] == "table":
        # The units that all tables share, and no others.
        assert {column for column in columns if column.endswith(("_ms", "_bytes", "_rate"))} <= units


def test_the_panels_have_something_to_show(grafana: psycopg.Connection[Any]) -> None:
    empty = []
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            [target] = panel["targets"]
            if not grafana.execute(as_grafana(target["rawSql"], dashboard, {})).fetchall():
                empty.append(f"{name}: {panel['title']}")
    # No collector reports here, and tests send events now and by a clock of their own.
    assert set(empty) <= {
        "database: Collectors",
        "database: What came in",
        "database: How late it came",
        "database: Rejected events, by reason",
        "database: Ledger by source",
    }


@pytest.mark.parametrize("interval", ["1m", "30m", "2h", "1d", "7d", "1w", "30d", "1y"])
def test_an_interval_as_grafana_writes_it(grafana: psycopg.Connection[Any], interval: str) -> None:
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            [target] = panel["targets"]
            if "$__interval" in target["rawSql"] and name in {"overview", "sessions"}:
                grafana.execute(as_grafana(target["rawSql"], dashboard, {}, interval))


def test_a_variable_has_the_values_of_the_range(grafana: psycopg.Connection[Any]) -> None:
    found = {
        name: [row[0] for row in grafana.execute(as_grafana(variable["query"], dashboard, {}))]
        for dashboard in DASHBOARDS.values()
        for name, variable in variables(dashboard).items()
        if variable["type"] == "query"
    }
    assert found["bcp"] == ["files"]
    assert found["tool"] == ["get_more_tools", "password"]
    assert set(found) == {"bcp", "tool", "client"}


def test_what_compose_mounts_is_there_and_is_what_grafana_is_told() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    mounted = dict(re.findall(r"- \./(grafana/[\w/]+):(/etc/grafana/[\w/]+):ro", compose))
    assert set(mounted) == {
        "grafana/provisioning/datasources",
        "grafana/provisioning/dashboards",
        "grafana/dashboards",
    }
    for folder in mounted:
        assert any((ROOT / folder).iterdir()), folder
    provider = (ROOT / "grafana/provisioning/dashboards/bcp.yaml").read_text()
    assert f"path: {mounted['grafana/dashboards']}\n" in provider
    source = (ROOT / "grafana/provisioning/datasources/bcp.yaml").read_text()
    assert f"uid: {DATASOURCE['uid']}\n" in source
    assert f"type: {DATASOURCE['type']}\n" in source
    # Each credential has a place in the environment, and none is in a file of the repository.
    for name in re.findall(r"\$\{(\w+)\}", source):
        assert name in compose, name
    assert "password: ${BCP_GRAFANA_PASSWORD}\n" in source
