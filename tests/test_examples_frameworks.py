"""The examples of web applications and of a service pass their own tests, as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import outside_environment

ROOT = Path(__file__).parents[1]
APPLICATIONS = sorted(path.name for path in ROOT.glob("examples/*_app"))


def test_all_of_them_are_here() -> None:
    assert APPLICATIONS == [
        "celery_app",
        "django_app",
        "fastapi_app",
        "flask_app",
        "sqlmodel_app",
        "starlette_app",
    ]


@pytest.mark.parametrize(
    "name", [*APPLICATIONS, "order_service", "process_manager", "room_booking"]
)
def test_its_own_tests_pass(name: str, tmp_path: Path) -> None:
    # This project's settings of pytest are not a user's.
    options = ["-q", "-c", os.devnull, "-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir=.", str(ROOT / "examples" / name)],
        cwd=tmp_path,
        env={**outside_environment(), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
