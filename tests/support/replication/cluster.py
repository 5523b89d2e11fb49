"""A primary and its standbys, with streaming replication between them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.support.backend import make_url
from tests.support.replication.node import DATABASE, Node
from tests.support.replication.template import Template

_PATIENCE = 30.0


class Cluster:
    """Some servers that replicate; at first the standbys follow the first node.

    Args:
        template: what each of them begins with.
        standbys: how many standbys, up to three.
        synchronous: whether a commit waits for a standby.

    Attributes:
        nodes: all of them.
        primary: the one that takes writes.
    """

    def __init__(self, template: Template, *, standbys: int = 1, synchronous: bool = True) -> None:
        self.nodes: list[Node] = []
        self._closing = contextlib.ExitStack()
        self._synchronous = synchronous
        try:
            for name in "abcd"[: standbys + 1]:
                self.nodes.append(Node(name, template.programs, template.data))
                self._closing.callback(self.nodes[-1].close)
            self.primary = self.nodes[0]
            for standby in self.nodes[1:]:
                standby.follow(self.primary)
            with ThreadPoolExecutor() as starting:
                list(starting.map(Node.start, self.nodes))
            self.wait_until_streaming()
            if synchronous:
                self.set_synchronous(True)
        except BaseException:
            self.close()
            raise

    @property
    def standbys(self) -> list[Node]:
        """The nodes that follow the primary."""
        return [node for node in self.nodes if node is not self.primary and node.link is not None]

    @property
    def standby(self) -> Node:
        """The only standby."""
        (standby,) = self.standbys
        return standby

    def url(self, *, nodes: Sequence[Node] = (), user: str = "message_store", **more: str) -> str:
        """Return the URL of the store for clients, who find the node that takes writes.

        Args:
            nodes: whom it names, and in which order; by default all of them.
            user: the role.
            more: parameters of libpq to add or to change.
        """
        asked = nodes or self.nodes
        place = {
            "host": ",".join("127.0.0.1" for _ in asked),
            "port": ",".join(str(node.clients.port) for node in asked),
            "target_session_attrs": "read-write",
            "connect_timeout": "2",
            "sslmode": "disable",
            "gssencmode": "disable",
        }
        return make_url(dbname=DATABASE, user=user, **(place | more))

    def set_synchronous(self, synchronous: bool) -> None:
        """Let commits wait for one of the other nodes, be it there or not; or not wait at all.

        Commits that wait end when they are not to wait any more.
        """
        self._synchronous = synchronous
        others = ", ".join(node.name for node in self.nodes if node is not self.primary)
        self.primary.set(synchronous_standby_names=f"ANY 1 ({others})" if synchronous else "")

    def wait_until_streaming(self) -> None:
        """Wait until all standbys have what the primary has, and get more as it comes."""
        names = ", ".join(f"'{node.name}'" for node in self.standbys)
        self._wait(
            lambda: (
                self.primary.scalar(
                    "select count(*) from pg_stat_replication where state = 'streaming'"
                    f" and replay_lsn >= pg_current_wal_lsn() and application_name in ({names})"
                )
                == len(self.standbys)
            ),
            "the standbys do not stream",
        )

    def waiting_commits(self, application_name: str = "") -> int:
        """Return how many sessions wait for a standby, of all names or of one."""
        count = self.primary.scalar(
            "select count(*) from pg_stat_activity where wait_event = 'SyncRep'"
            f" and '{application_name}' in ('', application_name)"
        )
        assert isinstance(count, int)
        return count

    def fail_over(self) -> Node:
        """Cut the primary's power, promote the standby that has most, and return it."""
        self.primary.power_cut()
        return self.promote(max(self.standbys, key=Node.received))

    def promote(self, standby: Node) -> Node:
        """Promote a standby, let the others follow it, and return it; the old primary is unchanged.

        The new primary's commits do not wait, until a node rejoins a synchronous cluster.
        """
        others = [node for node in self.standbys if node is not standby]
        standby.promote()
        self.primary = standby
        for node in others:
            node.follow(standby)
        if self._synchronous and others:
            self.set_synchronous(True)
        return standby

    def rejoin(self, node: Node) -> None:
        """Make a stopped or dead node, a primary of the past, a standby of the primary."""
        if node.runs:
            node.stop(at_once=True)
        node.rewind(self.primary)
        self._start_as_standby(node)

    def copy_anew(self, node: Node) -> None:
        """Make a stopped or dead node a standby of the primary, with a backup of that."""
        if node.runs:
            node.stop(at_once=True)
        node.copy_anew(self.primary)
        self._start_as_standby(node)

    def switch_over(self) -> Node:
        """Stop the primary in order, promote a standby that the old one follows, and return it."""
        old = self.primary
        old.stop()
        new = self.promote(max(self.standbys, key=Node.received))
        self._start_as_standby(old)
        return new

    def close(self) -> None:
        """Kill all servers, and remove what they have."""
        self._closing.close()

    def _start_as_standby(self, node: Node) -> None:
        node.follow(self.primary)
        node.start()
        self.wait_until_streaming()
        if self._synchronous:
            self.set_synchronous(True)

    def _wait(self, condition: Callable[[], bool], problem: str) -> None:
        until = time.monotonic() + _PATIENCE
        while not condition():
            logs = "\n".join(f"{node.name}: {node.log()}" for node in self.nodes)
            assert time.monotonic() < until, f"{problem}: {logs}"
            time.sleep(0.01)
