"""The CLI, run in this process, or as a separate one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from messagedb.cli._app import app


class Ran(msgspec.Struct):
    """Result of a run of the CLI."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The output as JSON lines."""
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


Command = Callable[..., Ran]


@pytest.fixture
def command(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a function that runs the command in this process, in the store of the tests."""
    monkeypatch.setenv("MESSAGEDB_URL", store_url)
    monkeypatch.delenv("COLUMNS", raising=False)  # a limit for tables, also in a pipe

    def run(*arguments: str, input: str | None = None) -> Ran:
        result = CliRunner().invoke(app, list(arguments), input=input, prog_name="messagedb")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def process(store_url: str) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts the command as a process, in the store of the tests."""

    def start(
        *arguments: str, more: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        environment = {**os.environ, "MESSAGEDB_URL": store_url, **(more or {})}
        settings: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
            "text": True,
            "env": environment,
            **options,
        }
        return subprocess.Popen([sys.executable, "-m", "messagedb.cli", *arguments], **settings)

    return start
