"""The environment of programs that a test starts."""

from __future__ import annotations

import os


def outside_environment() -> dict[str, str]:
    """Return the environment without what is for these tests only.

    A user's own tests take the store that MESSAGEDB_TEST_URL names as it is; of ours it is a server
    that may have none.
    """
    return {name: value for name, value in os.environ.items() if name != "MESSAGEDB_TEST_URL"}
