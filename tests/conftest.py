"""Runs the tests on every target there is, and says at the end which ones ran.

`BCP_TEST_TARGETS=embedded,native` chooses; by default embedded, and native where it can be had. A test
gets a database by one of these fixtures, and then runs once a target:

- `db`: a connection to a migrated, empty database, in a transaction that is rolled back. On the embedded
  target that transaction holds up every other connection, so a test that needs two takes `clean_db`. On
  both, the backend is that of the tests before, which keeps what it has compiled; a test that alters a type
  connects to `shared_dsn` by itself.
- `shared_dsn`: where that database is, for what a module asks once; whoever connects leaves it as it was.
- `clean_db`: an autocommit connection to a migrated database with no events; `dsn` is where it is, for
  further connections.
- `filled_by`: fills a database once for a module, by a function that is given a connection. A test that
  only reads, or rolls back what it writes, takes its `connect()`, one that commits takes a `copy()`. On the
  embedded target the one server has it in place of the other databases, so no test takes both; what says
  `little` is only copied, and filled again there: a server that was started anew is slow at first.
- `blank_db`: the connection string of a database with nothing of ours in it.
- `target`: the target's name.

`@pytest.mark.native("why")` and `@pytest.mark.embedded("why")` hold a test to one target; on the other
it is skipped with the reason. `@pytest.mark.any_target("why")` is for what is the same on all: it runs
once, on native where there is one, because that is quicker.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
import pytest
from hypothesis import settings

from tests.targets import MAKERS, NAMES, Target, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.targets import Filled

# Few examples each time and everywhere; BCP_TEST_EXAMPLES=10000 looks harder.
_EXAMPLES = int(os.environ.get("BCP_TEST_EXAMPLES", "25"))
settings.register_profile("default", deadline=None, max_examples=_EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=_EXAMPLES, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# Fixtures that make a database or a server for a test alone.
_TAKES_SECONDS = {"dsn", "filled_by", "blank_db", "_scratch_server", "initialised"}

_ACTIVE = pytest.StashKey[list[str]]()
_ABSENT = pytest.StashKey[dict[str, str]]()
_DESCRIPTIONS = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="one target, and no test that makes a database of its own, draws examples or is marked slow",
    )


def pytest_configure(config: pytest.Config) -> None:
    for name in NAMES:
        config.addinivalue_line("markers", f"{name}(reason): runs on the target {name} only, and why")
    config.addinivalue_line(
        "markers", "any_target(reason): runs on one target, native where there is one, and why"
    )
    config.addinivalue_line("markers", "spark: starts a cluster of Spark, with BCP_TEST_SPARK=1 only")
    config.addinivalue_line("markers", "slow: takes seconds, so --quick leaves it out")
    asked = os.environ.get("BCP_TEST_TARGETS")
    wanted = [name.strip() for name in asked.split(",") if name.strip()] if asked is not None else list(NAMES)
    if not wanted or not set(wanted) <= set(NAMES):
        raise pytest.UsageError(
            f"BCP_TEST_TARGETS is {asked!r}: it takes {' or '.join(NAMES)}, or both with a comma"
        )
    absent = {name: "not in BCP_TEST_TARGETS" for name in NAMES if name not in wanted}
    for name in wanted:
        reason = why_unavailable(name)
        if reason is None:
            continue
        if asked is not None:
            raise pytest.UsageError(f"BCP_TEST_TARGETS asks for {name}, which is not available: {reason}")
        absent[name] = f"not available: {reason}"
    active = [name for name in wanted if name not in absent]
    if config.getoption("quick"):
        quickest = max(active, key=NAMES.index)
        absent |= {name: "left out by --quick" for name in active if name != quickest}
        active = [quickest]
    config.stash[_ACTIVE] = active
    config.stash[_ABSENT] = absent
    config.stash[_DESCRIPTIONS] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" not in metafunc.fixturenames:
        return
    held_to = {
        name: mark.args[0]
        for name in NAMES
        if (mark := metafunc.definition.get_closest_marker(name)) is not None
    }
    active = metafunc.config.stash[_ACTIVE]
    if metafunc.definition.get_closest_marker("any_target") is not None:
        active = [max(active, key=NAMES.index)]
    params = []
    for name in active:
        reasons = [f"{only} only: {reason}" for only, reason in held_to.items() if only != name]
        params.append(
            pytest.param(name, marks=[pytest.mark.skip(reason="; ".join(reasons))] if reasons else [])
        )
    metafunc.parametrize("target", params, indirect=True, scope="session")


def _is_quick(item: pytest.Item) -> bool:
    function = getattr(item, "obj", None)
    return not (
        _TAKES_SECONDS & set(getattr(item, "fixturenames", ()))
        or getattr(function, "is_hypothesis_test", False)
        or item.get_closest_marker("slow")
        or item.path.parent.name in {"faults", "scheduler"}
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("quick"):
        left_out = [item for item in items if not _is_quick(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_quick(item)]
    # Workers take file after file in this order: the last one is not to be of those that take minutes.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and hasattr(item, "callspec")
            and "target" in item.callspec.params
        ):
            item.user_properties.append(("target", item.callspec.params["target"]))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    # What was imported and collected stays to the end: garbage collection need not look through it again.
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Only a worker of pytest-xdist itself knows what it started.
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["descriptions"] = session.config.stash[_DESCRIPTIONS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # A worker that crashed says nothing.
    node.config.stash[_DESCRIPTIONS].update(getattr(node, "workeroutput", {}).get("descriptions", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            target = dict(getattr(report, "user_properties", [])).get("target")
            if target in counts and outcome in {"passed", "failed", "error", "skipped", "xfailed", "xpassed"}:
                counts[target][outcome] += 1
    terminalreporter.section("targets")
    for name in NAMES:
        if name in config.stash[_ABSENT]:
            terminalreporter.line(f"{name}: {config.stash[_ABSENT][name]}")
            continue
        version = config.stash[_DESCRIPTIONS].get(name, "not started")
        ran = ", ".join(f"{number} {outcome}" for outcome, number in counts[name].items()) or "no test ran"
        terminalreporter.line(f"{name} ({version}): {ran}")


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, Target]]:
    """Servers started so far, all stopped at the end of the session, whatever order the tests come in."""
    started: dict[str, Target] = {}
    yield started
    for server in started.values():
        server.stop()


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def _server(target: str, _servers: dict[str, Target], pytestconfig: pytest.Config) -> Target:
    if target not in _servers:
        server: Target = MAKERS[target]()
        try:
            description = server.start()
        except BaseException:
            server.stop()
            raise
        _servers[target] = server
        pytestconfig.stash[_DESCRIPTIONS][target] = description
    return _servers[target]


def _refuse_commit() -> NoReturn:
    pytest.fail("a test that commits takes clean_db: what db does is rolled back")


@pytest.fixture(scope="module")
def shared_dsn(_server: Target) -> str:
    return _server.shared()


@pytest.fixture
def db(_server: Target) -> Iterator[psycopg.Connection[Any]]:
    conn = _server.connect()
    conn.commit = _refuse_commit  # type: ignore[method-assign]
    try:
        yield conn
    finally:
        conn.rollback()
        conn.close()


@pytest.fixture
def dsn(_server: Target) -> Iterator[str]:
    with _server.clean() as conninfo:
        yield conninfo


@pytest.fixture
def clean_db(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="module")
def filled_by(_server: Target) -> Iterator[Callable[..., Filled]]:
    with ExitStack() as stack:
        yield lambda fill, **how: stack.enter_context(_server.filled(fill, **how))


@pytest.fixture
def blank_db(_server: Target) -> Iterator[str]:
    with _server.blank() as conninfo:
        yield conninfo
