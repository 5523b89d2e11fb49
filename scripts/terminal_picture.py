"""Draw the terminal of README.md: the commands of its first example, run on an embedded store.

python scripts/terminal_picture.py      writes docs/_static/terminal.svg
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "_static" / "terminal.svg"
COLUMNS = 88
COMMANDS = [
    """messagedb write account-123 Opened '{"owner": "Ada"}'""",
    """messagedb write account-123 Deposited '{"amount": 5}'""",
    "messagedb read account",
    "messagedb types",
]


def main() -> int:
    """Run the commands in an empty folder and write the picture."""
    console = Console(record=True, width=COLUMNS, force_terminal=True, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(output_of(command, folder)))
            console.print()
    PICTURE.write_text(without_fonts(console.export_svg(title="messagedb")), encoding="utf-8")
    return 0


def output_of(command: str, folder: str) -> str:
    """Return the output of a command as on a terminal with colors, without the store's address."""
    words = [sys.executable, "-m", "messagedb.cli", "--format", "table", *shlex.split(command)[1:]]
    env = {"XDG_DATA_HOME": folder, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    done = subprocess.run(
        words, env={**os.environ, **env}, check=True, capture_output=True, text=True
    )
    return done.stdout.rstrip()


def without_fonts(picture: str) -> str:
    """Remove the fonts that a browser would request from another host."""
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.S)


if __name__ == "__main__":
    sys.exit(main())
