"""Check that the subjects of commits have at most 72 characters, so that every log shows them.

``python scripts/check_subjects.py FILE`` checks the message in a file, as git's hook ``commit-msg``
does; without an argument the commits since BEGIN are checked, when the rule was made.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BEGIN: Final = "2026-11-30T06:20:00Z"
LONGEST: Final = 72


def find_long_subjects(subjects: list[str]) -> list[str]:
    """Return those that are too long; git's own "fixup!" and "Merge" lines may be longer."""
    own = ("Merge ", "Revert ", "fixup! ", "squash! ", "amend! ")
    return [each for each in subjects if len(each) > LONGEST and not each.startswith(own)]


def read_subjects() -> list[str]:
    """Return the subjects of the commits since BEGIN, none where there is no history of git."""
    command = ["git", "log", f"--since={BEGIN}", "--format=%s"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def read_subject(message: Path) -> list[str]:
    """Return the first line of a message that is no comment."""
    lines = message.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")][:1]


def main(arguments: list[str]) -> int:
    """Print the subjects that are too long and return their number, at most 1."""
    subjects = read_subject(Path(arguments[0])) if arguments else read_subjects()
    long = find_long_subjects(subjects)
    for subject in long:
        print(f"{len(subject)} characters, {LONGEST} are allowed: {subject}")
    return min(1, len(long))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
