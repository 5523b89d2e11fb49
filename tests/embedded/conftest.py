"""A folder for a server, and processes that use it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from messagedb import embedded
from tests.embedded.processes import ClientProcess, running, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def client() -> Iterator[Callable[..., ClientProcess]]:
    """Start client processes; those that are left at the end are killed."""
    started: list[ClientProcess] = []

    def start(*arguments: Any, **options: Any) -> ClientProcess:
        started.append(ClientProcess(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end()
        else:
            each.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a path, with a space in it, for a new folder; nothing may run there in the end."""
    place = _place()
    yield place / "store"
    until(lambda: not running(place), "the server ended")
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def _used() -> Iterator[Path]:
    place = _place()
    embedded.start(place / "used before", install=False).stop()
    yield place / "used before"
    shutil.rmtree(place)


@pytest.fixture
def store(_used: Path) -> Iterator[Path]:
    """Return a folder that was used before, by other tests too; nothing may run in the end."""
    assert not running(_used)
    yield _used
    until(lambda: not running(_used), "the server ended")


def _place() -> Path:
    # Not pytest's tmp_path: other users have to reach it in some tests.
    place = Path(tempfile.mkdtemp(prefix="messagedb test ", dir="/tmp"))
    place.chmod(0o755)
    return place
