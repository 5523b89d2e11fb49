"""The files of a new service: their names and contents, made from the templates of the package."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from typing import Final

from messagedb import ValidationError, __version__

_COMMON: Final = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "Dockerfile": "Dockerfile",
    "compose.yaml": "compose.yaml",
    ".dockerignore": "dockerignore",
    ".gitignore": "gitignore",
    ".github/workflows/checks.yml": "checks.yml",
    "{name}/__init__.py": "__init__.py",
    "{name}/messages.py": "messages.py",
    "{name}/orders.py": "orders.py",
    "tests/test_orders.py": "test_orders.py",
}
_BY_VARIANT: Final = {
    "{name}/service.py": "service.py",
    "{name}/web.py": "web.py",
    "tests/test_service.py": "test_service.py",
}
_LONGEST_NAME: Final = 30  # the lines of the templates have room for so many characters
_TAKEN: Final = frozenset(
    [
        "data",
        "dist",
        "docs",
        "fastapi",
        "httpx2",
        "messagedb",
        "msgspec",
        "mypy",
        "psycopg",
        "psycopg_pool",
        "pydantic",
        "pytest",
        "pytest_asyncio",
        "rich",
        "ruff",
        "starlette",
        "tests",
        "typer",
        "uvicorn",
    ]
)


def check_service_name(name: str) -> None:
    """Check that a name can be that of the package and of the project.

    Raises:
        ValidationError: it cannot; the error says why, and perhaps which name can.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", name, re.ASCII) or keyword.iskeyword(name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")[:_LONGEST_NAME]
        is_better = better != name and len(better) > 1 and not keyword.iskeyword(better)
        hint = f", such as {better.rstrip('_')}" if is_better else ""
        raise ValidationError(
            f"{name!r} cannot be the name of a service, as that is a Python package, too: use at"
            f" least two lowercase letters, digits and underscores, and begin with a letter{hint}."
            " Nothing was written."
        )
    if len(name) > _LONGEST_NAME:
        raise ValidationError(
            f"The name of the service has {len(name)} characters: use at most {_LONGEST_NAME}."
            " Nothing was written."
        )
    if name in _TAKEN or name in sys.stdlib_module_names:
        raise ValidationError(
            f"{name!r} is the name of a module or folder that the service uses: choose another."
            " Nothing was written."
        )


def build_service_files(name: str, *, is_async: bool) -> dict[str, str]:
    """Return the contents of a new service's files, by their paths in its folder.

    Args:
        name: the name of its package, which was checked.
        is_async: True for the async variant.
    """
    sources = {path: f"common/{template}" for path, template in _COMMON.items()}
    variant = "async" if is_async else "sync"
    sources |= {path: f"{variant}/{template}" for path, template in _BY_VARIANT.items()}
    folder = files("messagedb.cli") / "_service_template"
    return {
        path.format(name=name): (folder / f"{source}.tmpl")
        .read_text(encoding="utf-8")
        .replace("__NAME__", name)
        .replace("__VERSION__", __version__)
        for path, source in sources.items()
    }
