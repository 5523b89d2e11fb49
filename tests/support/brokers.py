"""RabbitMQ, NATS and Redis of the tests' own: on free ports, in a temporary folder, as any user."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Protocol

from tests.support.patroni.programs import free_ports
from tests.support.unprivileged import Way

_PATIENCE = 300.0
_PLACES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class NoBrokerError(Exception):
    """A broker is not installed; the message says which package of Debian has it."""


class Broker(Protocol):
    """A broker that can be killed and started again, with its folder."""

    url: str

    def start(self) -> None:
        """Start it, and return when it accepts connections."""

    def kill(self) -> None:
        """Kill it, as a crash does."""

    def close(self) -> None:
        """Kill it, and remove its folder."""


class _Program:
    """A program with a folder and a port, and the programs that it needs beside it."""

    def __init__(self, name: str) -> None:
        # Without symbolic links: Erlang compares the names of its folders.
        self.folder = Path(tempfile.mkdtemp(prefix=f"mdbb-{name}-", dir="/tmp"))
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str | Path, env: dict[str, str] | None = None) -> None:
        """Start a program that ends with the test. Its death signal lets a script end its own."""
        with open(self.folder / "log", "ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                Way().command(*command, death_signal=signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self._running.append(process)

    def wait_for(self, port: int) -> None:
        """Wait until the last program accepts connections."""
        until = time.monotonic() + _PATIENCE
        while True:
            with socket.socket() as trying:
                trying.settimeout(1)
                if trying.connect_ex(("127.0.0.1", port)) == 0:
                    return
            is_alive = self._running[-1].poll() is None and time.monotonic() < until
            assert is_alive, f"it does not serve: {(self.folder / 'log').read_text()[-2000:]}"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill all of them, and what they have started."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_PATIENCE)
        self._running.clear()

    def close(self) -> None:
        """Kill all of them, and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class RabbitMQ:
    """A RabbitMQ with an Erlang port mapper and a cookie that no other node has."""

    def __init__(self) -> None:
        # Debian's script in /usr/sbin changes the user and the folder; this is what it calls.
        scripts = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
        if not scripts:
            raise NoBrokerError("apt-get install rabbitmq-server")
        self._script, self._epmd = scripts[-1], _find("epmd", "rabbitmq-server")
        self._ports = free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self._ports[0]}/"
        self._program = _Program("rabbitmq")
        (self._program.folder / "plugins").write_text("[].\n")
        (self._program.folder / "rabbitmq.conf").write_text("log.console.level = warning\n")

    def start(self) -> None:
        port, distribution, mapper = map(str, self._ports)
        folder = self._program.folder
        env = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": mapper,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "test@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # Threads that wait by spinning take the few cores from the others.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        self._program.run(self._epmd, "-port", mapper, "-address", "127.0.0.1")
        self._program.wait_for(int(mapper))
        self._program.run(self._script, env=env)
        self._program.wait_for(int(port))

    def kill(self) -> None:
        self._program.kill()

    def close(self) -> None:
        self._program.close()


class Nats:
    """A NATS server with JetStream, which stores its streams in files."""

    def __init__(self) -> None:
        self._server = _find("nats-server", "nats-server")
        self._port = free_ports(1)[0]
        self.url = f"nats://127.0.0.1:{self._port}"
        self._program = _Program("nats")

    def start(self) -> None:
        folder = self._program.folder / "streams"
        self._program.run(
            self._server, "-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", folder
        )
        self._program.wait_for(self._port)

    def kill(self) -> None:
        self._program.kill()

    def close(self) -> None:
        self._program.close()


class Redis:
    """A Redis that answers a write when it is in its file."""

    def __init__(self) -> None:
        self._server = _find("redis-server", "redis-server")
        self._port = free_ports(1)[0]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._program = _Program("redis")

    def start(self) -> None:
        lasting = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        place = ["--bind", "127.0.0.1", "--port", str(self._port)]
        self._program.run(self._server, *place, "--dir", self._program.folder, *lasting)
        self._program.wait_for(self._port)

    def kill(self) -> None:
        self._program.kill()

    def close(self) -> None:
        self._program.close()


def _find(program: str, package: str) -> Path:
    found = shutil.which(program, path=_PLACES)
    if found is None:
        raise NoBrokerError(f"apt-get install {package}")
    return Path(found)
