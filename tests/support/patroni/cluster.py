"""Some nodes of Patroni, an etcd and an HAProxy, all on this machine."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from messagedb import schema
from tests.support import unprivileged
from tests.support.backend import make_url
from tests.support.patroni import programs, rest
from tests.support.patroni.configuration import Place, Secrets, Timing, haproxy_cfg, patroni_yaml
from tests.support.patroni.kept import Kept
from tests.support.replication import DATABASE
from tests.support.replication.steps import Step

HOST = "127.0.0.1"
SECRETS = Secrets(superuser="of-superuser", replication="of-replication", rest="of-rest")
PASSWORD = "of-message-store"
"""The password of the role message_store."""

_PATIENCE = 120.0


class PatroniCluster:
    """A store that survives its primary; at first all nodes follow one that they elect.

    Args:
        nodes: how many, two or three.
        timing: Patroni's times.

    Attributes:
        places: of the nodes.
        timing: Patroni's times.

    Raises:
        NoPatroniError: a program is missing.
    """

    def __init__(self, nodes: int = 3, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self._programs = programs.find()
        self._closing = contextlib.ExitStack()
        self._running: dict[str, Kept] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="mdbh-", dir="/tmp"))
        self._closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._way, postgres = unprivileged.choose(
                self._programs.postgresql / "postgres", self.folder
            )
            self._etcd, peer, self._haproxy, *ports = programs.free_ports(3 + 2 * nodes)
            self.places = [
                Place(
                    name=name,
                    host=HOST,
                    port=ports.pop(),
                    rest_port=ports.pop(),
                    data=str(self.folder / name / "data"),
                    run=str(self.folder / name),
                    programs=str(postgres.parent),
                )
                for name in "abc"[:nodes]
            ]
            self._start_etcd(peer)
            for place in self.places:
                Path(place.run).mkdir()
                self._write(
                    f"{place.name}/patroni.yml",
                    patroni_yaml(
                        place,
                        etcd=[f"{HOST}:{self._etcd}"],
                        network=f"{HOST}/32",
                        secrets=SECRETS,
                        timing=self.timing,
                    ),
                )
                self.start(place)
            self._write("haproxy.cfg", haproxy_cfg(self.places, bind=f"{HOST}:{self._haproxy}"))
            configuration = self.folder / "haproxy.cfg"
            self._keep("haproxy", self._programs.haproxy, "-db", "-f", configuration)
            self.wait_until_whole()
            self._install()
        except BaseException:
            self.close()
            raise

    @property
    def primary(self) -> Place:
        """The node that says that it is the primary; waits until one does."""
        return self._primary_other_than(None)

    def url(self, *, user: str = "message_store", **more: str) -> str:
        """Return the URL that names all nodes; a client finds the one that takes writes."""
        return self._url(
            user,
            host=",".join(place.host for place in self.places),
            port=",".join(str(place.port) for place in self.places),
            target_session_attrs="read-write",
            **more,
        )

    def url_of_haproxy(self, *, user: str = "message_store", **more: str) -> str:
        """Return the URL that leads through HAProxy."""
        return self._url(user, host=HOST, port=str(self._haproxy), **more)

    def url_of(self, place: Place, *, user: str = "message_store", **more: str) -> str:
        """Return the URL of one node, be it the primary or not."""
        return self._url(user, host=place.host, port=str(place.port), **more)

    def start(self, place: Place) -> None:
        """Start the Patroni of a node, and with it the node."""
        configuration = self.folder / place.name / "patroni.yml"
        self._keep(place.name, self._programs.python, self._programs.patroni, configuration)

    def switch_over(self) -> Place:
        """Let Patroni switch over to the synchronous standby, and return the new primary."""
        old = self.primary
        status, text = rest.ask(
            old,
            "/switchover",
            method="POST",
            body={"leader": old.name},
            password=SECRETS.rest,
            timeout=_PATIENCE,
        )
        assert status in (200, 202), f"Patroni does not switch over: {status} {text}"
        return self._primary_other_than(old)

    def fail_over(self) -> Place:
        """Kill all processes of the primary's node; return the new primary when there is one.

        The old one's node is started again then.
        """
        old = self.primary
        self._running[old.name].kill()
        new = self._primary_other_than(old)
        self.start(old)
        return new

    def pause(self) -> Place:
        """Stop all processes of the primary's node until there is another primary.

        They go on then, and the old primary learns that it is one no longer.
        """
        old = self.primary
        self._running[old.name].stop()
        try:
            return self._primary_other_than(old)
        finally:
            self._running[old.name].go_on()

    def steps(self) -> list[Step]:
        """Return all that is done to the primary, each until the cluster is whole again."""
        kinds: dict[str, Callable[[], Place]] = {
            "switch-over": self.switch_over,
            "failover": self.fail_over,
            "pause": self.pause,
        }

        def until_whole(act: Callable[[], Place]) -> Callable[[], None]:
            def run() -> None:
                act()
                self.wait_until_whole()

            return run

        return [
            Step(
                name,
                until_whole(act),
                # Of a paused one the sessions continue: no write of theirs may be lost.
                primary=(lambda: self.url_of(self.primary)) if name == "pause" else None,
            )
            for name, act in kinds.items()
        ]

    def wait_until_whole(self) -> None:
        """Wait until all nodes run and follow the primary, one of them synchronously."""

        def lack() -> str:
            for place in self.places:
                with contextlib.suppress(OSError):
                    if rest.is_primary(place):
                        seen = rest.members(rest.ask(place, "/cluster")[1])
                        return rest.not_whole(seen, len(self.places)) or self._not_synchronous()
            return "no primary"

        self._wait(lack)

    def scalar(self, query: str, *, dbname: str = DATABASE) -> object:
        """Return the one value of a query on the primary, asked as the superuser."""
        url = self.url_of(self.primary, user="postgres", dbname=dbname)
        with psycopg.connect(url, autocommit=True) as conn:
            row = conn.execute(query.encode()).fetchone()
            assert row is not None
            return row[0]

    def set_password(self) -> None:
        """Set the password of the role message_store."""
        with psycopg.connect(self.url(user="postgres"), autocommit=True) as conn:
            conn.execute(f"alter role message_store password '{PASSWORD}'".encode())

    def versions(self) -> dict[str, str]:
        """Return the versions of the programs."""
        return {
            "PostgreSQL": str(self.scalar("show server_version")).split()[0],
            **programs.versions(self._programs),
        }

    def close(self) -> None:
        """Kill everything, and remove what it has."""
        with ThreadPoolExecutor() as ending:
            list(ending.map(Kept.kill, self._running.values()))
        self._running.clear()
        self._closing.close()

    def _primary_other_than(self, old: Place | None) -> Place:
        found: list[Place] = []

        def lack() -> str:
            found[:] = [p for p in self.places if p is not old and rest.is_primary(p)][:1]
            return "" if found else "no primary"

        self._wait(lack)
        return found[0]

    def _not_synchronous(self) -> str:
        """Return an empty string if the primary's commits wait for a standby that is there."""
        query = "select count(*) from pg_stat_replication where sync_state = 'sync'"
        return "" if self.scalar(query, dbname="postgres") else "no standby is synchronous"

    def _url(self, user: str, **place: str) -> str:
        password = SECRETS.superuser if user == "postgres" else PASSWORD
        usual = {"connect_timeout": "2", "sslmode": "disable", "gssencmode": "disable"}
        usual |= {"dbname": DATABASE}
        return make_url(user=user, password=password, **(usual | place))

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        self._way.own(self.folder)

    def _start_etcd(self, peer: int) -> None:
        clients, peers = f"http://{HOST}:{self._etcd}", f"http://{HOST}:{peer}"
        options = {
            "name": "etcd",
            "data-dir": str(self.folder / "etcd"),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"etcd={peers}",
            # By version 3 of etcd's interface, Debian's Patroni 3.0.2 takes the lock from the new
            # primary when an old one continues, and then both have been primaries.
            "enable-v2": "true",
        }
        self._keep("etcd", self._programs.etcd, *(f"--{k}={v}" for k, v in options.items()))

    def _keep(self, name: str, *command: str | Path) -> None:
        self._running[name] = Kept(self._way, command, self.folder / f"{name}.log")

    def _install(self) -> None:
        place = self.primary
        url = make_url(self.url_of(place, user="postgres"), dbname="postgres")
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"create database {DATABASE}".encode())
        schema.install(self.url_of(place, user="postgres"))
        self.set_password()

    def _wait(self, lack: Callable[[], str]) -> None:
        until = time.monotonic() + _PATIENCE
        while problem := lack():
            if time.monotonic() > until:
                logs = "\n".join(f"{name}: {kept.tail()}" for name, kept in self._running.items())
                raise AssertionError(f"not within {_PATIENCE:.0f} s: {problem}\n{logs}")
            time.sleep(0.1)
