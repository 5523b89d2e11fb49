"""Set up the project's tools, and run the demo, the tests or any nox session with them.

    python3 dev.py demo                 the demo
    python3 dev.py test                 a sample of the tests, about nine minutes
    python3 dev.py test tests/unit -x   some tests: arguments go to pytest
    python3 dev.py nox -s lint          a session of noxfile.py: arguments go to nox

Needs Python 3.11 or later, git, and a network for pip. Installs into two folders of this checkout
only, .venv-dev and .nox: delete them to begin again.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv-dev" / "{}.{}".format(*sys.version_info)  # one for each Python
STAMP = ENVIRONMENT / "made-by-dev.py.txt"
COMMANDS: dict[str, list[str]] = {
    "demo": ["-s", "demo", "--"],
    "test": ["-s", "tests", "--"],
    "nox": [],
}


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    command, *rest = arguments
    if command not in COMMANDS:
        return fail(f"there is no command {command!r}; there are: {', '.join(COMMANDS)}")
    problem = find_problem()
    if problem:
        return fail(problem)
    python = environment_python()
    if not install_nox(python):
        return fail("nox could not be installed: the reason is above. Does pip reach a network?")
    if command != "nox" and rest[:1] == ["--"]:
        rest = rest[1:]
    nox = [str(python), "-m", "nox", *COMMANDS[command], *rest]
    os.chdir(ROOT)
    if os.name != "nt":  # where exec would not wait
        os.execv(nox[0], nox)  # so signals reach nox itself
    return subprocess.call(nox)


def fail(reason: str) -> int:
    """Print a reason and return the exit status of a failure."""
    print(f"dev.py: {reason}", file=sys.stderr)
    return 1


def find_problem() -> str:
    """Return what is wrong with this Python or this folder, or an empty string."""
    version = "{}.{}".format(*sys.version_info)
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python comes as far as this
        return (
            f"Python 3.11 or later is needed, and this is {version}. "
            "If there is a later one here, name it: python3.11 dev.py …"
        )
    if not all(importlib.util.find_spec(name) for name in ("ensurepip", "venv")):
        return (
            f"{sys.executable} cannot make environments: its modules ensurepip and venv are "
            "missing. On Debian and Ubuntu, as root: "
            f"apt-get install python3-venv (or python{version}-venv)"
        )
    for folder in (ROOT, ENVIRONMENT, ROOT / ".nox"):
        if folder.exists() and not os.access(folder, os.W_OK):
            return f"this user may not write to {folder}: clone the repository as this user"
    return ""


def environment_python() -> Path:
    """Return the path of the environment's own Python."""
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install_nox(python: Path) -> bool:
    """Make the environment and install nox there, unless it is there; return whether it is now."""
    import tomllib  # not before the version is known to be 3.11

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = project["dependency-groups"]["nox"]
    # The path is part of it: an environment cannot be moved.
    wanted = "\n".join([sys.version, str(ENVIRONMENT), *requirements])
    if python.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return True
    print(f"dev.py: installing nox into {ENVIRONMENT}", flush=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for step in ([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], pip + requirements):
        if subprocess.call(step) != 0:
            return False
    STAMP.write_text(wanted, encoding="utf-8")  # last: what was interrupted is made again
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
