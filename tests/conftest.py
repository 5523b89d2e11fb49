"""The frame of the test run: the generated sync variant, the server, databases and names."""

from __future__ import annotations

import contextlib
import os
import random
import string
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import make_sync
import psycopg
import pytest
from psycopg import sql

from tests.support import backend, leaving_out, setup
from tests.support.pgbouncer import PgBouncer

if TYPE_CHECKING:
    from tests.support.replication import Cluster, Template

# How long an example takes depends on the machine: no test asserts a time.
hypothesis.settings.register_profile("messagedb", deadline=None)
hypothesis.settings.load_profile("messagedb")

# pytest reads this file before it collects, so the sync variant is there when a test imports it.
# Until then messagedb itself may not be imported: it imports the sync variant.
try:
    make_sync.make_untracked()
except make_sync.ConversionError as error:
    pytest.exit(f"the sync variant cannot be generated:\n{error}", returncode=4)

NewDatabase = Callable[..., str]
NewCluster = Callable[..., "Cluster"]


def pytest_report_header() -> str:
    """Print the server of the run, and the reason."""
    return _backend_line()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the server of the run if there is no header (``-q``)."""
    if terminalreporter.verbosity < 0:
        terminalreporter.write_line(_backend_line())


def _backend_line() -> str:
    try:
        choice = backend.choose()
    except backend.NoBackendError as error:
        return f"server: none: {error}"
    schema, role, pooler = setup.read_setup()
    through = f", through PgBouncer in {pooler} mode" if pooler else ""
    return (
        f"server: {choice.kind} ({choice.reason}); the clients' cases: schema {schema}, as {role}"
        f"{through}"
    )


THROUGH_NODES = pytest.StashKey[bool]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests that cannot pass in the setup that the environment asks for.

    Through several nodes, a test that is known to differ must fail as it is known to.
    """
    wanted = setup.read_setup()
    config.stash[THROUGH_NODES] = wanted.schema in setup.NODES
    for item in items:
        name = getattr(item, "originalname", item.name)
        reason = leaving_out.get_reason(wanted, name)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
        if wanted.schema in setup.NODES:
            from tests.support.through_nodes import mark_difference

            mark_difference(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test if ``CI`` is set, and one that differs otherwise than it is known to."""
    report = yield
    # Not the setup that the environment asks for now, which a test may change.
    if item.config.stash.get(THROUGH_NODES, False):
        from tests.support.through_nodes import check_words

        check_words(item, call.excinfo and call.excinfo.value, report)
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI may skip nothing: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a skipped file if ``CI`` is set."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI may skip nothing: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Return a superuser's URL of the server's maintenance database."""
    with contextlib.ExitStack() as stack:
        url, failure = "", ""
        try:
            url = stack.enter_context(backend.open_server(backend.choose()))
        except backend.NoBackendError as error:
            failure = str(error)
        if failure:
            pytest.fail(failure, pytrace=False)
        yield url


@pytest.fixture(scope="session")
def new_database(server_url: str) -> Iterator[NewDatabase]:
    """Return a function that creates a database and returns a superuser's URL of it.

    Its arguments: ``encoding="UTF8"``, and ``install=True`` for our schema in it. The databases are
    dropped when the run ends, whether or not they are in use.
    """
    from messagedb import schema

    made: list[str] = []

    def make(*, encoding: str = "UTF8", install: bool = True) -> str:
        name = f"messagedb_test_{uuid.uuid4().hex}"
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute(
                sql.SQL(
                    "create database {} template template0 encoding {} lc_collate 'C' lc_ctype 'C'"
                ).format(sql.Identifier(name), sql.Literal(encoding))
            )
        made.append(name)
        # Without options: nothing but what the client does itself makes the functions be found.
        url = backend.make_url(server_url, dbname=name, options="")
        if install:
            schema.install(url)
        return url

    yield make
    with psycopg.connect(server_url, autocommit=True) as conn:
        for name in made:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def database_url(new_database: NewDatabase) -> Iterator[str]:
    """Return a superuser's URL of the run's own database, with our schema in it.

    With ``MESSAGEDB_TEST_SCHEMA=genuine`` it holds the genuine Message DB instead.
    """
    url, wanted = new_database(install=False), setup.read_setup()
    setup.install(url, wanted)
    yield url
    with psycopg.connect(backend.make_url(url, dbname="postgres"), autocommit=True) as conn:
        for name in setup.name_nodes(url, wanted):
            drop = sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            conn.execute(drop)


@pytest.fixture(scope="session")
def store_url(database_url: str) -> Iterator[str]:
    """Return the URL of the same database for the role message_store.

    ``MESSAGEDB_TEST_ROLE`` and ``MESSAGEDB_TEST_POOLER`` change the role and add a pooler.
    """
    wanted = setup.read_setup()
    role = setup.ROLES[wanted.role]
    url = backend.make_url(database_url, user=role)
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        pytest.fail(
            f"the role {role} cannot log in: let the server trust it, or give it the "
            f"password that MESSAGEDB_TEST_URL holds. {error}",
            pytrace=False,
        )
    if not wanted.pooler:
        yield url
        return
    pgbouncer = PgBouncer(url)
    yield pgbouncer.url(setup.POOLS[wanted.pooler])
    pgbouncer.close()


@pytest.fixture(scope="session")
def replication_template() -> Iterator[Template]:
    """Return the initial data of the replicating servers."""
    from tests.support.replication import NoProgramsError, Template

    try:
        template = Template()
    except NoProgramsError as error:
        pytest.skip(f"no programs for servers that replicate: {error}")
    yield template
    template.close()


@pytest.fixture
def new_cluster(replication_template: Template) -> Iterator[NewCluster]:
    """Return a function that starts a primary and its standbys: see ``Cluster``."""
    from tests.support.replication import Cluster

    with contextlib.ExitStack() as stack:

        def start(*, standbys: int = 1, synchronous: bool = True) -> Cluster:
            cluster = Cluster(replication_template, standbys=standbys, synchronous=synchronous)
            stack.callback(cluster.close)
            return cluster

        yield start


@pytest.fixture
def replicated(new_cluster: NewCluster) -> Cluster:
    """Return a primary whose commits wait for its standby."""
    return new_cluster(synchronous=True)


@pytest.fixture
def lagging(new_cluster: NewCluster) -> Cluster:
    """Return a primary whose commits do not wait for its standby."""
    return new_cluster(synchronous=False)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may enter, as root's embedded server is another user's."""
    with tempfile.TemporaryDirectory(prefix="messagedb test ") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def category() -> str:
    """Return a category that no other test has: letters only, in camelCase."""
    word = "".join(random.choices(string.ascii_lowercase, k=12))
    return f"test{word.capitalize()}"
