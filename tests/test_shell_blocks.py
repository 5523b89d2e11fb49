"""Each line of the shell blocks of the pages and the README is run, or compared with what is there.

What is checked here without being run installs packages, or takes minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nox.registry
import psycopg
import pytest
import typer
from bench.options import make_parser
from packaging.requirements import Requirement
from psycopg.conninfo import conninfo_to_dict

import dev
import noxfile
from messagedb.cli._app import app
from tests.cli.test_pages import BLOCK, find_commands
from tests.support.backend import make_url
from tests.support.environment import outside_environment
from tests.test_examples import COMMANDS, SMALL
from tests.test_examples_downloads import PROGRAMS, SERVERS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
PLAIN_BLOCK = re.compile(r"^[ `>]*```text\n(.*?)^[ `>]*```$", re.S | re.M)
PROGRAM = re.compile(
    r"(?!.* -> )[ >$]*(?:\w+=\S+ +)*(?:messagedb [a-z]|pip install|python3? -m|pytest\b|nox -s|pg_"
    r"|psql\b|curl\b|gunicorn\b|uvicorn\b|celery\b|docker\b|apt-get\b|export \w+=|cd |nats stream"
    r"|etcdctl|patronictl)"
)

UI = "messagedb --url postgresql://message_store@localhost/message_store ui"
NEW = "messagedb new shop"
TRANSFER = (
    "python -m examples.funds_transfer postgresql://message_store@localhost:5433/message_store"
)
RUN_HERE = (UI, NEW, TRANSFER)
# Pages whose blocks another test runs, all lines or those that begin so.
RUN_ELSEWHERE = {
    "high-availability.md": ("", "tests/faults/test_failover_patroni.py"),
    "README.md": (".venv/bin/messagedb ", "tests/test_readme.py"),
    "new-service.md": ("", "tests/cli/test_new_page.py"),
    "outbox.md": ("", "tests/recipes/test_outbox_commands.py"),
    "retention.md": ("", "tests/recipes/test_retention.py"),
}
# Programs of the examples that tests run, as the pages name them.
RUN_EXAMPLES = {
    *(f"python {each}" for each in COMMANDS),
    *(f"python {each}" for commands in PROGRAMS.values() for each in commands),
    *(f"python -m examples {name}{variant}" for name in SMALL for variant in ("", " --sync")),
    *(re.sub(r"^-m | --?\w+ \S*PORT", "", each) for each in SERVERS),
}
PROJECT: dict[str, Any] = noxfile.PROJECT
CI = (ROOT / ".ci" / "run").read_text()


def lines_of(text: str) -> list[str]:
    """Return the commands of a block, without their comments."""
    joined = (shlex.split(line, comments=True) for line in text.replace("\\\n", " ").split("\n"))
    found = zip(joined, text.replace("\\\n", " ").split("\n"), strict=True)
    return [re.sub(r" +# .*$", "", line).strip() for words, line in found if words]


def test_every_shell_block_is_found() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        assert not re.search(r"^[ `]*```(bash|shell|console|zsh)", text, re.M), page.name
        assert len(re.findall(r"^[ `>]*```sh\b", text, re.M)) == len(BLOCK.findall(text)), page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_line_is_run_or_names_what_is_there(page: Path) -> None:
    run = find_commands(page)  # by tests/cli/test_pages.py
    blocks = [each for each in BLOCK.findall(page.read_text("utf-8")) if each not in run]
    lines = [line for block in blocks for line in lines_of(block)]
    assert [f"{line}: {found}" for line in lines if (found := find_fault(line, page))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_in_shell_blocks(page: Path) -> None:
    assert find_commands_in_text(page.read_text("utf-8")) == []


def find_commands_in_text(page: str) -> list[str]:
    """Return the commands in blocks that are for output: no test of a page would see them."""
    lines = [line for block in PLAIN_BLOCK.findall(page) for line in block.split("\n")]
    return [line for line in lines if PROGRAM.match(line)]


@pytest.mark.parametrize(
    "line",
    [
        "messagedb read account",
        "$ python -m examples.outbox",
        'pg_dump "$url"',
        "A=b uvicorn shop.web:app",
        "curl localhost",
        "export A=b",
    ],
)
@pytest.mark.parametrize("before", ["", "   ", "> "])
def test_a_command_in_a_block_for_output_is_found(line: str, before: str) -> None:
    page = f"{before}```text\n{before}account-1 0 Opened\n{before}{line}\n{before}```\n"
    assert find_commands_in_text(page) == [f"{before}{line}"]
    assert find_commands_in_text(page.replace("text\n", "sh\n")) == []


def find_fault(line: str, page: Path) -> str:
    """Return what is wrong with a command of a page, or an empty string."""
    words = shlex.split(line, comments=True)
    begins, _ = RUN_ELSEWHERE.get(page.name, ("\n", ""))
    if line in RUN_HERE or line.startswith(begins):
        return ""
    if shlex.join(words) in RUN_EXAMPLES:
        return ""
    for beginning, check in KINDS.items():
        if line.startswith(beginning):
            return check(words[beginning.count(" ") :])
    return (
        "no test runs it, or knows what it should be: run it in a test and name that test in "
        "RUN_HERE or RUN_ELSEWHERE, or add a check of its kind to KINDS"
    )


def check_requirements(words: list[str]) -> str:
    """Check the arguments of `pip install`: extras of ours, and packages that tests have."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras: set[str] = set(project["optional-dependencies"])
    listed = [each for group in groups.values() for each in group if isinstance(each, str)]
    known = {Requirement(each).name for each in listed}
    for word in words:
        requirement = Requirement(word)
        if requirement.name == project["name"]:
            if missing := requirement.extras - extras:
                return f"pyproject.toml has no extra {', '.join(sorted(missing))}"
        elif requirement.name not in known:
            return f"no group of pyproject.toml has {requirement.name}"
    return ""


@functools.cache
def help_of(*program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *program, "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_options(words: list[str], *program: str) -> str:
    """Check that a program's help has each option, and that each other word is a path."""
    for word in words:
        if word.startswith("-"):
            if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", help_of(*program)):
                return f"{shlex.join(program)} has no option {word}"
        elif not (ROOT / word).exists():
            return f"there is no {word}"
    return ""


def check_wheel(words: list[str]) -> str:
    """Check `pip wheel`, whose folder the next line of the page names."""
    place = words.index("--wheel-dir")
    if words[place + 1] != "wheels" or not (ROOT / words[-1] / "pyproject.toml").exists():
        return "it builds no wheel into the folder `wheels`"
    return check_options([*words[: place + 1], *words[place + 2 :]], "pip", "wheel")


def check_address(words: list[str]) -> str:
    """Check that a variable of the environment has an address of a store."""
    name, _, value = words[0].partition("=")
    if name == "MESSAGEDB_URL" and value.startswith("embedded:"):
        return ""
    try:
        return "" if conninfo_to_dict(value) and name == "MESSAGEDB_URL" else f"what is {name}?"
    except psycopg.ProgrammingError as error:
        return str(error)


def check_pip_setting(words: list[str]) -> str:
    """Check that pip takes a variable of the environment as the page says."""
    show = f'export {words[0].replace("$PWD", str(ROOT))}; "$0" -m pip config list'
    done = subprocess.run(
        ["sh", "-c", show, sys.executable], capture_output=True, text=True, timeout=60
    )
    return "" if f":env:.find-links='{ROOT}/wheels'" in done.stdout else done.stdout + done.stderr


def check_dev(words: list[str]) -> str:
    """Check a command of dev.py: without arguments CI runs it, the others name tests."""
    if words[0] not in dev.COMMANDS:
        return f"dev.py has no command {words[0]}"
    if len(words) == 1:
        return "" if f"dev.py {words[0]}\n" in CI else ".ci/run does not run it"
    return check_options(words[1:], "pytest") if words[0] == "test" else check_nox(words[1:])


def check_nox(words: list[str]) -> str:
    """Check a session of noxfile.py, and the arguments of those that pages show."""
    option, name, *rest = words
    if option != "-s" or name not in nox.registry.get():
        return f"noxfile.py has no session {name}"
    if not rest:
        return ""
    if name != "bench" or rest[0] != "--":
        return f"nothing here knows the arguments of the session {name}: add its parser"
    files = (ROOT / "scripts" / "bench").glob("*.py")
    code = "".join(path.read_text("utf-8") for path in files)
    topics: list[str] = re.findall(r'^TOPIC = Topic\(\n    "(\w+)"', code, re.M)
    return parse(make_parser(topics), rest[1:])


def parse(parser: argparse.ArgumentParser, words: list[str]) -> str:
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.suppress(SystemExit):
        parser.parse_args(words)
    return error.getvalue()


def check_command(words: list[str]) -> str:
    """Check a command of the CLI by its own parser."""
    command: Any = typer.main.get_command(app)
    context: Any = None
    while True:
        try:
            context = command.make_context(command.name, list(words), parent=context)
            if "commands" not in vars(command):
                return ""
            rest = [*context._protected_args, *context.args]
            _, command, words = command.resolve_command(context, rest)
        except Exception as error:  # Click's, which is typer's own in some versions
            text: Any = getattr(error, "format_message", None)
            if text is None:
                raise
            return str(text())


KINDS: dict[str, Callable[[list[str]], str]] = {
    "pip install ": check_requirements,
    "pip wheel ": check_wheel,
    "export PIP_FIND_LINKS=": check_pip_setting,
    "export MESSAGEDB_URL=": check_address,
    "python3 dev.py ": check_dev,
    "nox ": check_nox,
    "messagedb ": check_command,
    "pytest ": lambda words: check_options(words, "pytest"),
}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("pip install 'messagedb[cli,none]'", "has no extra none"),
        ("pip install messagedb nothing-of-ours", "has nothing-of-ours"),
        ("pip wheel --nothing --wheel-dir wheels .", "has no option --nothing"),
        ("export MESSAGEDB_URL=postgres", "missing"),
        ('export PIP_FIND_LINKS="$PWD/others"', "others"),
        ("python3 dev.py tests", "no command tests"),
        ("python3 dev.py test tests/nothing -v", "there is no tests/nothing"),
        ("python3 dev.py test tests/unit --nothing", "has no option --nothing"),
        ("python3 dev.py nox -s nothing", "no session nothing"),
        ("nox -s benches", "no session benches"),
        ("nox -s bench -- --fast", "unrecognized arguments: --fast"),
        ("nox -s bench -- --only nothing", "no such group: nothing"),
        ("nox -s fuzz -- --short", "add its parser"),
        ("messagedb nothing", "No such command 'nothing'"),
        ("messagedb read account --nothing", "No such option"),
        ("messagedb consumers nothing", "No such command 'nothing'"),
        ("curl localhost", "RUN_HERE or RUN_ELSEWHERE"),
        ("python -m examples.nothing", "RUN_HERE or RUN_ELSEWHERE"),
    ],
)
def test_a_wrong_line_is_found(line: str, fault: str) -> None:
    assert fault in find_fault(line, ROOT / "docs" / "page.md")


def test_tests_that_run_the_lines_of_a_page_name_it() -> None:
    for page, (_, test) in RUN_ELSEWHERE.items():
        assert page in (ROOT / test).read_text("utf-8")
    shown = "".join(page.read_text("utf-8") for page in PAGES)
    assert [line for line in RUN_HERE if f"{line}\n" not in shown] == []


def start(line: str, folder: Path, **more: str) -> subprocess.Popen[str]:
    """Start a line in a shell, as its reader does: with what is installed beside this Python."""
    programs = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    return subprocess.Popen(
        ["sh", "-ec", f"exec {line}"],
        cwd=folder,
        env={**outside_environment(), "PATH": programs, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def with_address(line: str, address: str) -> str:
    """Return a line with the address of a real store instead of the one that it has."""
    return re.sub(r"postgresql://\S+", lambda _: shlex.quote(address), line)


def test_the_pages_of_a_store_are_shown(store_url: str, tmp_path: Path) -> None:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with start(with_address(UI, store_url), tmp_path, MESSAGEDB_UI_PORT="0") as running:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert ":8030/" not in address  # a port that is free
        try:
            with browser.open(address, timeout=30) as response:
                assert "<title>" in response.read().decode()
        finally:
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (130, "")


def test_a_new_service_is_written(tmp_path: Path) -> None:
    with start(NEW, tmp_path) as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    assert (tmp_path / "shop" / "pyproject.toml").exists()


def test_money_is_moved_on_a_server(new_database: Callable[..., str], tmp_path: Path) -> None:
    line = with_address(TRANSFER, make_url(new_database(), user="message_store"))
    with start(line, tmp_path, PYTHONPATH=str(ROOT)) as running:
        printed, errors = running.communicate(timeout=60)
    assert (running.returncode, errors) == (0, "")
    assert printed in (ROOT / "docs" / "funds-transfer.md").read_text("utf-8")
    assert printed.endswith("Ada has 70\nBob has 30\n")
