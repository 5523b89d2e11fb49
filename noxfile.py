"""The project's jobs: the demo, the tests, and all other checks that a change has to pass.

Plain pip and virtualenv do all of it. ``python3 dev.py nox -s NAME`` installs nox and runs a
session; with a nox of your own it is ``nox -s NAME``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

import nox
import nox.command
from packaging.requirements import Requirement

PYTHONS = ["3.11", "3.12", "3.13"]
PROJECT = nox.project.load_toml("pyproject.toml")
EVERYTHING = ".[cli,embedded,otel,ui]"

# Most of the tests wait for a server, a network or a process half of the time: run three together.
PARALLEL = ["-n3", "--dist=loadfile"]
ALL = ["--ignore=tests/conformance"]
WITHOUT_LONG = [
    "--ignore-glob=*test_faults_*",
    "--ignore-glob=*test_moves*",
    "--ignore-glob=*test_several_nodes*",
    "--ignore-glob=*test_examples*",
    "--ignore-glob=*test_failover*",
    "--ignore=tests/_sync",
    "--ignore=tests/browser",
    "--ignore=tests/cli",
    "--ignore=tests/embedded",
    "--ignore=tests/faults",
    "--ignore=tests/killing",
    "--ignore=tests/project",
    "--ignore=tests/recipes",
    "--ignore=tests/test_docs.py",
    "--ignore=tests/test_readme.py",
]
# Of these files, which open many pages or the sessions of many roles, or wait for reports, one test
# is enough on a second Python and on a second schema: the oldest Python runs all of them.
ONCE = [
    "*/test_large_messages*",
    "tests/plugin/*",
    "tests/ui/*",
    "tests/_*/consumers/test_reports*",
    "tests/_*/connection/test_hostile_settings*",
]
# The sample of the tests is all of them, except that of each of these files, which wait for faults,
# processes, programs and reports, or open many pages or the sessions of many roles, it runs the
# first test only,
LONG = [
    *ONCE,
    # The oldest Python has all of the async variant.
    "tests/_async/*",
    "*/test_faults_*",
    "tests/async_only/*",
    "tests/cli/*",
    "tests/embedded/*",
    "tests/faults/*",
    "tests/killing/*",
    "tests/project/*",
    "tests/sync_only/*",
    "tests/test_examples*",
    "tests/test_readme.py",
]
# and of these files nothing: some need programs that pip does not install (servers that replicate,
# poolers, brokers, the genuine Message DB, a browser), the others take minutes (processes killed at
# random, the pages of docs).
LEFT_OUT = [
    "tests/browser/*",
    "*failover*",
    "*test_faults_pgbouncer*",
    "*test_faults_plproxy*",
    "*test_moves*",
    "*test_several_nodes*",
    "*test_faults_waiting_commits*",
    "tests/cli/test_pages*",
    "tests/cli/test_proxy*",
    "tests/conformance/*",
    "tests/faults/test_replication*",
    "tests/killing/test_kills*",
    "tests/recipes/test_outbox*",
    "tests/test_docs.py",
]

# Of these files, which the sample runs whole, the first test runs on the oldest Python, too.
IN_SAMPLE = [
    "tests/ui/*",
    "tests/unit/*",
    "tests/plugin/*",
    "tests/test_package*",
    "tests/test_public_signatures*",
]
# Of these, each function runs there once, with its first parameters: ``nox -s failover`` causes
# failovers as well, and the newest Python cancels with all parameters.
ONE_CASE = [
    "tests/_async/*/test_faults_failover_*",
    "tests/async_only/test_cancellation*",
]
# Consumers that are killed fifty times, and the names of these tests for the sync variant, and for
# the one that takes two minutes: those with larger transactions stay.
KILLS = "tests/killing/test_kills.py"
LEFT_KILLS = [
    "test_each_effect_is_there_exactly_once_in_the_transaction_of_the_position[1-async]",
    "test_each_message_is_handled_at_least_once[sync]",
    "test_each_message_is_handled_at_least_once_by_eight_handlers_at_a_time[sync]",
    "test_each_effect_is_there_exactly_once_in_the_transaction_of_the_position[1-sync]",
    "test_each_effect_is_there_exactly_once_in_the_transaction_of_the_position[100-sync]",
    "test_each_effect_is_there_exactly_once_in_the_transaction_of_the_position[batches-sync]",
]

# Of the clients' cases `nox -s conformance` runs these files through PL/Proxy on two nodes, and the
# first case of each other one. Faults have their own tests there, in connection/test_several_nodes.
THROUGH_NODES = [
    "tests/_async/consumers/test_consumers.py",
    "tests/_async/consumers/test_positions.py",
    "tests/_async/entities/test_entities.py",
    "tests/_async/operations/test_reading.py",
    "tests/_async/operations/test_reading_backwards.py",
    "tests/_async/operations/test_writing.py",
]
NOT_THROUGH_NODES = [
    "--ignore-glob=*test_faults_*",
    "--ignore-glob=*test_moves*",
    "--ignore-glob=*test_several_nodes*",
]
NODES = {
    "MESSAGEDB_TEST_SCHEMA": "nodes-2",
    "MESSAGEDB_TEST_SERVER_BIN": "/usr/lib/postgresql/15/bin",
}

# The tests in which the version of a dependency matters: messages and codecs, SQL and its types,
# OpenTelemetry, the CLI.
WITH_DEPENDENCIES = [
    "tests/unit",
    "tests/cli/test_consumers.py",
    "tests/cli/test_messages.py",
    "tests/_async/consumers/test_positions.py",
    "tests/_async/entities/test_entities.py",
    "tests/_async/operations/test_reading.py",
    "tests/_async/operations/test_registry.py",
    "tests/_async/operations/test_telemetry.py",
    "tests/_async/operations/test_writing.py",
    "tests/ui/test_access.py",
    "tests/ui/test_pages.py",
]

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # a missing Python is a visible "skipped" line
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]


def install(session: nox.Session, *groups: str, editable: bool = True) -> None:
    """Install messagedb with all its extras, and the requirements of these dependency groups."""
    project = ["-e", EVERYTHING] if editable else [EVERYTHING]
    session.install(*project, *dependencies(*groups))


def dependencies(*groups: str) -> tuple[str, ...]:
    """Return the requirements of these dependency groups of pyproject.toml."""
    return nox.project.dependency_groups(PROJECT, *groups)


def venv_python(session: nox.Session) -> str:
    """Return the path of the session's own Python."""
    folder = "Scripts" if os.name == "nt" else "bin"
    return str(Path(session.virtualenv.location, folder, "python"))


@nox.session
def demo(session: nox.Session) -> None:
    """Write this repository's history as messages, read it back, total it, in both APIs."""
    install(session)
    session.run("python", "examples/git_history/demo.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lint, imports, words, spelling and the subjects of commits.

    ``nox -s lint -- --fix`` fixes format and lint.
    """
    session.install(*dependencies("lint"))
    if "--fix" in session.posargs:
        session.run("ruff", "format", ".")
        session.run("ruff", "check", "--fix", ".")
    else:
        session.run("ruff", "format", "--check", ".")
        session.run("ruff", "check", ".")
        session.run("python", "scripts/make_sync.py")
        roots = os.pathsep.join(["src", "_async_src"])
        session.run("lint-imports", env={"PYTHONPATH": roots})
    session.run("python", "scripts/check_words.py")
    session.run("codespell")
    session.run("python", "scripts/check_subjects.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the tree, of the wheel's public names, and of a user's files against it.

    The user's files are those of tests/typing, and each block of Python of README.md and docs/.
    """
    install(session, "types", "test", editable=False)
    session.run("python", "scripts/make_sync.py")
    session.run("python", "-m", "mypy")
    session.run("python", "-m", "pyright", "--pythonpath", venv_python(session))
    check_public_types(session)
    check_user_files(session)
    check_new_services(session)


@nox.session
def types_oldest(session: nox.Session) -> None:
    """Check a user's files with the oldest type checkers that pyproject.toml promises."""
    install(session, "types", "test", editable=False)
    wanted = dependencies("types")
    oldest = [name.replace(">=", "==") for name in wanted if name.startswith(("mypy>", "pyright>"))]
    session.install(*oldest)
    check_user_files(session)


def check_public_types(session: nox.Session) -> None:
    """Fail the session if a public name of the wheel has a type that checkers have to infer.

    Less than 100 % fails. The names are printed then. Of the async variant, which is the source of
    the sync one, only the latter's names count: to pyright it is another library.
    """
    with session.chdir(session.create_tmp()):  # away from the tree: what is found is the wheel
        session.run(
            *("python", "-m", "pyright", "--verifytypes", "messagedb", "--ignoreexternal"),
            silent=True,
        )


def check_user_files(session: nox.Session) -> None:
    """Check a user's files with both checkers, away from the tree: what is found is the wheel."""
    folder = Path(session.create_tmp(), "user").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("tests/typing", folder)
    blocks = folder.parent / "blocks"
    printed = session.run("python", "scripts/docs_blocks.py", str(blocks), silent=True)
    # A cache for all: they import the same.
    mypy = ["python", "-m", "mypy", "--strict", "--cache-dir", str(folder.parent / "mypy")]
    for each in (str(folder), *str(printed).split()):
        with session.chdir(each):
            session.run(*mypy, "--exclude", "^examples/", ".")
            session.run("python", "-m", "pyright", "--pythonpath", venv_python(session))


def check_new_services(session: nox.Session) -> None:
    """Check what ``messagedb new`` writes, with the checks that its workflow runs."""
    session.install(*[name for name in dependencies("lint") if name.startswith("ruff")])
    longest = "a" * 30
    with session.chdir(session.create_tmp()):
        shutil.rmtree("services", ignore_errors=True)
        for variant, name in [("async", "shop"), ("sync", "shop"), ("async", longest)]:
            folder = f"services/{variant}-{name}"
            new = ["python", "-m", "messagedb", "new", name, f"--{variant}"]
            session.run(*new, "--directory", folder, silent=True)
            with session.chdir(folder):
                session.run("ruff", "check", ".")
                session.run("ruff", "format", "--check", ".")
                if name != longest:  # a cache for both: they import the same
                    session.run("python", "-m", "mypy", "--cache-dir", "../mypy", ".")


@nox.session(python=PYTHONS)
def sync(session: nox.Session) -> None:
    """Generate the sync variant, check it, and print its hash: the same on every Python."""
    session.install("unasync==0.6.0")
    session.run("python", "scripts/make_sync.py")
    session.run("python", "scripts/make_sync.py", "--check")


@nox.session
def tests(session: nox.Session) -> None:
    """Run a sample of the tests on this Python, in about seven minutes; print what it left out.

    Arguments are passed to pytest. If they name files or folders, as in ``tests/unit -x``, these
    are run instead of the sample.
    """
    install(session, "test")
    if any(Path(argument.partition("::")[0]).exists() for argument in session.posargs):
        session.run("python", "-m", "pytest", *session.posargs)
    else:
        run_sample(session)


def run_sample(session: nox.Session, *options: str) -> None:
    """Run the sample of the tests with these options of pytest, and print what it left out."""
    sample = first_of(*LONG)
    sample += [f"--ignore-glob={glob}" for glob in LEFT_OUT]
    try:
        run_parallel(session, *sample, *options, *session.posargs)
    finally:
        session.log(f"This was a sample: the first test of each file of {' '.join(LONG)};")
        session.log(f"no test of {' '.join(LEFT_OUT)}; and all other tests.")
        session.log("All tests, half an hour: python3 dev.py nox -s tests_all conformance")


def first_of(*globs: str) -> list[str]:
    """Return the options of pytest to run only the first test of each file that a glob names."""
    return ["-p", "tests.support.sampling", *(f"--first-of={glob}" for glob in globs)]


def without_repeats() -> list[str]:
    """Return the options of pytest to leave out what runs in the sample or in the other variant.

    The sync variant is generated, so what the sample runs of it is left out, and of its files that
    the sample leaves out the first test runs. Only consumers of the async variant are killed. Of
    ``IN_SAMPLE``, and of the tests of the trials' checks, the first runs, and of ``ONE_CASE`` each
    with one set of parameters. ``nox -s coverage`` runs all.
    """
    files = [path.relative_to("tests/_async") for path in Path("tests/_async").rglob("test_*.py")]
    paths = sorted(f"tests/_sync/{path.as_posix()}" for path in files)
    sampled = [path for path in paths if not any(fnmatchcase(path, glob) for glob in LEFT_OUT)]
    options = [f"--ignore={path}" for path in sampled]
    options += [f"--deselect={KILLS}::{test}" for test in LEFT_KILLS]
    options += [f"--one-case-of={glob}" for glob in ONE_CASE]
    return [*options, *first_of(*IN_SAMPLE, "tests/_sync/*", "tests/project/test_trials*")]


def run_parallel(session: nox.Session, *options: str, env: dict[str, str] | None = None) -> None:
    """Run tests in parallel, and those that failed once more, one at a time.

    Beside others on few cores, a fault may take longer than a test waits for its effect. A test
    that fails alone, too, fails the session; and so does a run that did not come to its end.
    """
    try:
        session.run("python", "-m", "pytest", *PARALLEL, *options, env=env)
    except nox.command.CommandFailed as error:
        if error.reason != "Returned code 1":
            # Not all tests ran: pytest itself has failed, or was interrupted.
            raise
        session.warn("Tests failed in parallel. They are run once more, one at a time:")
        again = ["--last-failed", "--last-failed-no-failures=none", "-v"]
        if "--cov" in options:
            again.append("--cov-append")
        session.run("python", "-m", "pytest", *again, *options, env=env)


@nox.session(python=PYTHONS[0])
def coverage(session: nox.Session) -> None:
    """Run all tests but ``conformance``, and fail if they cover less than pyproject.toml says.

    ``coverage report --show-missing --skip-covered`` then lists the lines and branches that they
    miss, and ``coverage html`` shows them.
    """
    install(session, "test")
    run_parallel(session, "--cov", "--cov-report=", *ALL, *session.posargs)
    session.run("coverage", "report", "--format=total")


@nox.session(python=PYTHONS)
def tests_all(session: nox.Session) -> None:
    """Run the tests on each Python; arguments after ``--`` are passed to pytest.

    Without arguments the oldest Python runs all but those of the schema's SQL, which no Python
    changes (see ``conformance``), and those that run elsewhere or in the other variant. The newest
    runs the first test of each file of both variants, without faults, processes and examples;
    the others run the sample.
    """
    install(session, "test")
    if session.posargs:
        session.run("python", "-m", "pytest", *session.posargs)
    elif session.python == PYTHONS[0]:
        run_parallel(session, "--durations=30", *ALL, *without_repeats())
    elif session.python == PYTHONS[-1]:
        once = first_of(*ONCE, "tests/_async/*", "tests/sync_only/*")
        run_parallel(session, *ALL, *WITHOUT_LONG, *once)
    else:
        run_sample(session)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run some tests with the lowest version that pyproject.toml promises of each dependency.

    These are the tests in which the dependencies differ; arguments are passed to pytest, and those
    that name files or folders replace them.
    """
    pins = Path(session.create_tmp(), "lowest.txt").resolve()
    pins.write_text("".join(f"{pin}\n" for pin in lowest_pins()))
    session.install("-c", str(pins), "-e", EVERYTHING, *dependencies("test"))
    session.run("python", "-m", "pip", "list")
    # Old versions of some use what their own dependencies have deprecated since.
    named = any(Path(argument.partition("::")[0]).exists() for argument in session.posargs)
    chosen = () if named else WITH_DEPENDENCIES
    options = ("-W", "default::DeprecationWarning", *PARALLEL, *chosen, *session.posargs)
    session.run("python", "-m", "pytest", *options)


def lowest_pins() -> list[str]:
    """Return a pin of the lowest allowed version for each dependency that has a lower bound."""
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *dependencies("test")]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    pins: list[str] = []
    for requirement in map(Requirement, wanted):
        bounds = [each.version for each in requirement.specifier if each.operator == ">="]
        pins += [f"{requirement.name}=={bound}" for bound in bounds]
    return sorted(set(pins))


@nox.session
def faults(session: nox.Session) -> None:
    """Cause each fault under each operation; ``nox -s faults -- --short`` tries a part of them.

    ``--json FILE`` writes the figures, too.
    """
    install(session, "test")
    session.run("python", "-u", "-m", "faults", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def conformance(session: nox.Session) -> None:
    """Compare our schema with the genuine Message DB, and run the clients' cases on that.

    A part of the cases run through PL/Proxy, too, on two nodes: see ``through_nodes`` for all.
    """
    install(session, "test")
    genuine = {"MESSAGEDB_REQUIRE_GENUINE": "1"}
    session.run("python", "-m", "pytest", "tests/conformance", *session.posargs, env=genuine)
    # Faults are of the client, not of the schema; and the sync variant is made from the async one.
    run_parallel(
        session,
        *("tests/_async", "--ignore-glob=*test_faults_*", *first_of(*ONCE)),
        *session.posargs,
        env={**genuine, "MESSAGEDB_TEST_SCHEMA": "genuine"},
    )
    paths = {path.as_posix() for path in Path("tests/_async").rglob("test_*.py")}
    others = sorted(paths.difference(THROUGH_NODES))
    # The first cases of these wait for half a minute.
    slow = [f"--ignore=tests/_async/consumers/{file}.py" for file in ("test_idle", "test_pool")]
    run_parallel(
        session,
        *("tests/_async", *first_of(*others), *NOT_THROUGH_NODES, *slow),
        *session.posargs,
        env=NODES,
    )


@nox.session
def through_nodes(session: nox.Session) -> None:
    """Run all of the clients' cases through PL/Proxy on two nodes: see tests/support/through_nodes.

    Arguments are passed to pytest, and those that name files or folders replace ``tests/_async``.
    """
    install(session, "test")
    wanted = session.posargs
    if not any(Path(argument.split("::")[0]).exists() for argument in wanted):
        wanted = ["tests/_async", *wanted]
    session.run(*("python", "-m", "pytest", *NOT_THROUGH_NODES, *PARALLEL), *wanted, env=NODES)


@nox.session
def analysis(session: nox.Session) -> None:
    """Export a store and read it with DuckDB, pandas and Polars, as docs/recipes/analysis.md."""
    session.install(".[cli,embedded]", *dependencies("analysis"))
    script = str(Path("scripts/analysis.py").resolve())
    folder = Path(session.create_tmp(), "export")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with session.chdir(folder):  # away from the tree: what is found is the wheel
        session.run("python", "-W", "error", script)


@nox.session
def bench_nodes(session: nox.Session) -> None:
    """Measure the cost of several nodes by PL/Proxy; ``-- --short`` only tries."""
    install(session, "test")
    session.run("python", "-u", "scripts/bench_nodes.py", *session.posargs, env={"PYTHONPATH": "."})


@nox.session
def bench_replica(session: nox.Session) -> None:
    """Measure reads from a standby, and how soon it has a write; ``-- --short`` only tries."""
    install(session, "test")
    paths = os.pathsep.join(("scripts", "."))
    program = ("python", "-u", "scripts/bench_replica.py")
    session.run(*program, *session.posargs, env={"PYTHONPATH": paths})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside the rivals; ``nox -s bench -- --quick`` only tries, ``-- charts`` draws."""
    install(session, "bench")
    # It asks for psycopg2, which has to be compiled; psycopg2-binary is the same without that.
    session.install("--no-deps", "message-db-py==0.3.5")
    session.run("python", "-m", "bench", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def failover(session: nox.Session) -> None:
    """Fail over under load and print what was lost; ``nox -s failover -- --short`` tries less.

    ``nox -s failover -- --patroni`` does it with Patroni, etcd and HAProxy.
    """
    install(session, "test")
    session.run("python", "-u", "-m", "failover", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def servers(session: nox.Session) -> None:
    """Run the clients' cases on every server; ``nox -s servers -- --short`` on one other major."""
    install(session, "test")
    paths = os.pathsep.join(("scripts", "."))
    session.run("python", "-u", "-m", "servers", *session.posargs, env={"PYTHONPATH": paths})


@nox.session
def fuzz(session: nox.Session) -> None:
    """Compare random operations with a model, and inject hostile values; ``-- --short``: less."""
    install(session, "test")
    session.run("python", "-u", "-m", "fuzz", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def stress(session: nox.Session) -> None:
    """Load a store beyond what it is built for, and count messages; ``-- --short``: less."""
    install(session, "test")
    session.run("python", "-u", "-m", "stress", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def partitions(session: nox.Session) -> None:
    """Kill, pause and cut off processes that share partitions; ``-- --short``: fewer."""
    install(session, "test")
    session.run("python", "-u", "-m", "partitions", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def moves(session: nox.Session) -> None:
    """Move a category between two nodes, killed at each of its steps; ``-- --short``: at some."""
    install(session, "test")
    paths = os.pathsep.join(("scripts", "."))
    module = ("python", "-u", "-m", "trials.move_category")
    session.run(*module, *session.posargs, env={"PYTHONPATH": paths})


@nox.session
def soak(session: nox.Session) -> None:
    """Keep a mixed load for minutes, and measure what grows: ``nox -s soak -- MINUTES``."""
    # matplotlib draws the samples of a long run.
    install(session, "test", "charts")
    session.run("python", "-u", "-m", "soak", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def pages(session: nox.Session) -> None:
    """Open every page of the UI on a store of five million messages; ``-- --short``: of 50,000."""
    install(session, "test")
    session.run("python", "-u", "-m", "pages", *session.posargs, env={"PYTHONPATH": "scripts"})


@nox.session
def docs_async(session: nox.Session) -> None:
    """Run the async variant of each example of docs/; the tests run a sample of them."""
    install(session, "test")
    session.run("pytest", "-n2", "tests/test_docs.py", env={"MESSAGEDB_ALL_DOCS": "1"})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, without a warning; ``nox -s docs -- linkcheck`` asks other sites' links.

    It is also built as for an address, and the files of both sites are checked.
    """
    install_site_tools(session)
    if session.posargs:
        build_site(session, "site", "--builder", *session.posargs)
        return
    for name, env in (("site-at", {"DOCS_URL": "https://docs.example/en/"}), ("site", {})):
        folder = build_site(session, name, "--keep-going", env=env)
        session.run("python", "scripts/site_check.py", str(folder), "--files-only")
    session.log(f"the site is {folder / 'index.html'}")


@nox.session
def site(session: nox.Session) -> None:
    """Open every page of the site in Chromium, at three widths; ``-- --short``: ten pages.

    It needs Debian's chromium (.ci/packages), and npm for axe. Some seconds for each page.
    """
    install_site_tools(session)
    folder = build_site(session, "site")
    session.run("python", "scripts/site_check.py", str(folder), *session.posargs)


def install_site_tools(session: nox.Session) -> None:
    """Install what builds the site, and what opens it."""
    install(session, "docs")
    session.install(*(each for each in dependencies("test") if each.startswith("playwright")))


def build_site(
    session: nox.Session, name: str, *options: str, env: dict[str, str] | None = None
) -> Path:
    """Build the site into a new folder, which is returned; a warning is an error."""
    folder = Path(session.create_tmp(), name).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    command = ("python", "-m", "sphinx", "--fail-on-warning", "--quiet", *options)
    session.run(*command, "docs", str(folder), env=env)
    return folder


@nox.session
def package(session: nox.Session) -> None:
    """Build sdist and wheel, and try the wheel in an environment that has nothing else."""
    session.install(*dependencies("package"))
    folder = Path(session.create_tmp()).resolve()
    for name in ("dist", "tree"):
        shutil.rmtree(folder / name, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder / "dist"))
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder / "tree"))
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    (wheel_from_tree,) = (folder / "tree").glob("*.whl")
    check_contents(session, sdist, wheel, wheel_from_tree)
    session.run("python", "-m", "twine", "check", "--strict", str(sdist), str(wheel))

    scripts = Path("scripts").resolve()
    for extra in ("embedded", "cli", "otel", "ui", "none"):
        clean = folder / f"clean-{extra}"
        shutil.rmtree(clean, ignore_errors=True)
        session.run("python", "-m", "venv", str(clean))
        python = str(clean / ("Scripts" if os.name == "nt" else "bin") / "python")
        wanted = str(wheel) if extra == "none" else f"{wheel}[{extra}]"
        session.run(python, "-m", "pip", "install", "-q", wanted, external=True)
        program = ["smoke.py"] if extra == "embedded" else ["smoke_extras.py", extra]
        with session.chdir(folder):
            session.run(python, str(scripts / program[0]), *program[1:], external=True)


def check_contents(session: nox.Session, sdist: Path, wheel: Path, from_tree: Path) -> None:
    """Fail the session where a file is missing, is too much, or differs between the two wheels."""
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    made = wheel_hashes(wheel)
    differing = {name for name, _ in made.items() ^ wheel_hashes(from_tree).items()}
    if differing:
        session.error(f"the wheel from the tree is not the wheel from the sdist: {differing}")
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False)
    wanted = {"messagedb/_sync/client.py"}
    wanted |= {
        f"{name}/py.typed" for name in ("messagedb", "_messagedb_async", "_messagedb_pytest")
    }
    for root in ("src", "_async_src"):
        files = (path for path in Path(root).rglob("*") if path.suffix in (".py", ".sql", ".tmpl"))
        wanted |= {path.relative_to(root).as_posix() for path in files}
    wanted |= {f"messagedb/cli/_error_pages/{path.name}" for path in Path("docs/errors").iterdir()}
    if missing := wanted - made.keys():
        session.error(f"the wheel lacks {sorted(missing)}")
    if missing := set(tracked.stdout.split()) - in_sdist:
        session.error(f"the sdist lacks {sorted(missing)}")
    if generated := [name for name in in_sdist if "/_sync/" in name]:
        session.error(f"the sdist holds generated files: {generated}")
    session.log(f"{wheel.name}: {len(made)} files, {sdist.name}: {len(in_sdist)} files")


def wheel_hashes(wheel: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
