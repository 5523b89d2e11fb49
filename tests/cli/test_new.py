"""A new service is written whole or not at all, passes its own tests, and runs."""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import Command
from tests.support.environment import outside_environment

yaml: Any = importlib.import_module("yaml")
NewDatabase = Callable[..., str]


def list_files(folder: Path) -> set[str]:
    """Return the paths of all files in a folder, without what Python keeps beside them."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run_in(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in a folder, as its user does."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**outside_environment(), **more},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("variant", ["async", "sync"])
def test_the_tests_of_a_new_service_pass(command: Command, tmp_path: Path, variant: str) -> None:
    folder = tmp_path / "a folder"
    made = command("new", "shop", f"--{variant}", "--directory", str(folder))
    assert made.code == 0, made.err
    written = {Path(row["file"]).relative_to(folder).as_posix() for row in made.rows}
    assert list_files(folder) == written
    assert f"cd {shlex.quote(str(folder))}" in made.err
    assert ("AsyncApp" in (folder / "shop" / "service.py").read_text()) == (variant == "async")
    assert not [path for path in written if "__NAME__" in path + (folder / path).read_text()]
    done = run_in(folder, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def follow_step(folder: Path, changes: str, where: str) -> None:
    """Do what a row of the page says: rename files and whole words in files."""
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    names = list(files) if "all files" in where else re.findall(r"`([^`]+)`", where)
    only = "import" if "`import`" in changes else ""  # the lines to change have it
    for old, new in re.findall(r"`([^`]+)` → `([^`]+)`", changes):
        if old in files:
            files[old].rename(files[old].with_name(new))
            continue
        word = re.compile(rf"\b{re.escape(old)}\b")
        for name in names:
            lines = files[name].read_text().splitlines()
            changed = [word.sub(new, line) if only in line else line for line in lines]
            files[name].write_text("".join(f"{line}\n" for line in changed))


@pytest.mark.parametrize("variant", ["async", "sync"])
def test_the_orders_are_replaced_as_the_page_says(
    command: Command, tmp_path: Path, variant: str
) -> None:
    folder = tmp_path / "shop"
    command("new", "shop", f"--{variant}", "--directory", str(folder))
    page = Path(__file__).parents[2] / "docs" / "new-service.md"
    section = page.read_text().partition("\n## Replace the orders\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^\| (\d?)[^|]*\|([^|]+)\|([^|]+)\|", section, re.M)
    assert [number for number, *_ in steps if number] == list("123456789")
    for _, changes, where in steps:
        follow_step(folder, changes, where)
    code = "".join(path.read_text() for path in folder.rglob("*.py"))
    left = {name for name in re.findall(r"\w*order\w*", code, re.I) if "test_" not in name}
    assert left == {"ORDER"}
    done = run_in(folder, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert "6 passed" in done.stdout, done.stdout + done.stderr


def test_a_new_service_runs_as_its_compose_file_says(
    command: Command, new_database: NewDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    command("new", "shop", "--directory", str(folder))
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    url = new_database(install=False)

    program, *install = services["install"]["command"]
    assert (program, command(*install, "--url", url).code) == ("messagedb", 0)
    command("write", "order-7", "Placed", '{"item": "lamp", "amount": 40}', "--url", url)
    (line,) = [
        line.removeprefix("CMD ")
        for line in (folder / "Dockerfile").read_text().splitlines()
        if line.startswith("CMD ")
    ]
    program, *run = json.loads(line)
    more = ["--health", "0", "--until-caught-up"]
    done = run_in(folder, program, *run, *more, MESSAGEDB_URL=url)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT id, item, amount FROM public.order_list").fetchall() == [
            ("7", "lamp", 40)
        ]
        types = conn.execute("SELECT type FROM message_store.messages WHERE stream_name='order-7'")
        assert types.fetchall() == [("Placed",), ("Accepted",)]


def test_the_files_for_docker_and_github_name_what_is_there(
    command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    command("new", "shop", "--directory", str(folder))
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]
    url = services["web"]["environment"]["MESSAGEDB_URL"]
    assert url.rpartition("@")[2].partition("/")[0] in services
    assert services["web"]["command"][:3] == ["uvicorn", "--factory", "shop.web:create_web"]
    assert "def create_web(" in (folder / "shop" / "web.py").read_text()
    ignored = (folder / ".dockerignore").read_text().splitlines()
    for line in (folder / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for name in line.split()[1:-1]:
                assert (folder / name).exists()
                assert f"!{name}" in ignored
    workflow = yaml.safe_load((folder / ".github/workflows/checks.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["checks"]["steps"]]
    assert steps[-4:] == ["ruff check", "ruff format --check", "mypy .", "pytest"]
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    (group,) = [step.rpartition("--group ")[2] for step in steps if "--group" in step]
    assert {"mypy", "pytest", "ruff"} <= {
        each.partition(">")[0] for each in project["dependency-groups"][group]
    }


@pytest.mark.parametrize(
    "name",
    [
        *("", "-", "s", "My-Shop", "../shop", "shop/", "/shop", "shop.py", "_shop", "shop_"),
        *("class", "json", "tests", "messagedb", "7shop", "größe", "shop\n", "s\0p", "a" * 31),
        *("$(id)", "'; drop", "__NAME__", "{name}", "%s"),
    ],
)
def test_a_name_that_is_no_package_is_refused(
    command: Command, open_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(open_folder)
    refused = command("new", "--", name)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.count("\n") == 1
    assert "Nothing was written" in refused.err
    assert list(open_folder.iterdir()) == []


def test_a_refused_name_comes_with_one_that_works(command: Command, tmp_path: Path) -> None:
    assert "such as my_shop." in command("new", "My-Shop").err
    folder = tmp_path / "x"
    assert command("new", "my_shop", "--directory", str(folder)).code == 0
    assert (folder / "my_shop" / "service.py").exists()


def test_a_folder_with_files_is_left_as_it_is(command: Command, tmp_path: Path) -> None:
    place = ["--directory", str(tmp_path / "shop")]
    (tmp_path / "shop" / ".git").mkdir(parents=True)  # a clone of an empty repository
    assert command("new", "shop", *place).code == 0
    before = list_files(tmp_path)
    refused = command("new", "shop", *place)
    assert (refused.code, refused.out) == (2, "")
    assert "is not empty" in refused.err
    assert "Nothing was written" in refused.err
    file = tmp_path / "shop" / "README.md"
    assert "is no folder" in command("new", "shop", "--directory", str(file)).err
    assert list_files(tmp_path) == before


def test_if_the_disk_is_full_nothing_is_left(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "messagedb", "new", "shop", "--directory", "a/b"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
