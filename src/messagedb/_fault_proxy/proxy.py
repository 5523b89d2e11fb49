"""The public class of the fault proxy: it checks arguments, and commands the thread."""

from __future__ import annotations

from typing import Any, Final, Literal, Self, get_args

from .._argument_checks import check_integer
from .._errors import ValidationError
from .faults import Action, Direction, FaultPoint, PointFault
from .pace import Pace
from .relay import Relay
from .target import build_conninfo, build_url, parse_target

__all__ = ["FaultProxy"]

_MOST_TIMES: Final = 1_000_000_000


class FaultProxy:
    """A TCP proxy in front of PostgreSQL, which causes faults of the network on command.

    It listens on a free port of 127.0.0.1 and runs in a thread of this process. Threads, event
    loops and other processes, in any language, connect to its ``url`` instead of the server's.
    It begins by forwarding. Each method returns when its command is in force, for the connections
    that are open and for new ones; it does not wait for the network, so that async code may call
    it.

    A request is what a client sends up to the message that the server answers as a whole: a
    simple query, the Sync after an extended query or a pipeline, or the packets that begin a
    session. Its answer ends with ReadyForQuery. Six points of them can be named, in the order of
    time:

    - ``"before_request"``: nothing of the request reaches the server;
    - ``"within_request"``: the server gets its first half;
    - ``"after_request"``: the server gets it whole, and executes it;
    - ``"before_answer"``: the server has executed it and has answered; the client gets nothing;
    - ``"within_answer"``: the client gets the first half of the answer;
    - ``"after_answer"``: the client gets it whole.

    Encryption: the proxy reads what it forwards. A client that offers TLS (``sslmode=prefer``) gets
    a no, and goes on without; the server has to accept that. If the connection string of the
    target asks for TLS (``sslmode`` is require, verify-ca or verify-full), then so does ``url``,
    certificates are checked against the server's own name, and the proxy forwards encrypted bytes:
    everything works except ``cut_at``, ``stall_at`` and ``drop_at``, which have to read requests.

    Example::

        with FaultProxy(server.url) as proxy, Client(proxy.url) as client:
            proxy.cut_at("before_answer", "Deposited")
            client.write_message("account-1", NewMessage("Deposited", {"amount": 5}))

    Args:
        target: a connection string of a server, as a URL or as ``key=value`` pairs, with one host:
            a name, an address, or the folder of its Unix socket.

    Raises:
        ValidationError: the target cannot be used. No proxy was started.
        OSError: the name of the host is unknown, or no socket could be made.
    """

    def __init__(self, target: str) -> None:
        self._target = parse_target(target)
        self._relay = Relay(self._target)

    def __repr__(self) -> str:
        """Return both ends, without a password."""
        end = f"{self._target.host} port {self._target.port}"
        return f"<FaultProxy 127.0.0.1:{self.port} to {end}>"

    def __enter__(self) -> Self:
        """Return the proxy, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def url(self) -> str:
        """The connection string of the target by the proxy, as a URL."""
        return build_url(self._target.through(self.port))

    @property
    def conninfo(self) -> str:
        """The connection string of the target by the proxy, as ``key=value`` pairs.

        Example::

            client = Client(proxy.conninfo)
        """
        return build_conninfo(self._target.through(self.port))

    @property
    def port(self) -> int:
        """The port on 127.0.0.1.

        Example::

            print(f"port={proxy.port}")
        """
        return self._relay.port

    @property
    def connections(self) -> int:
        """The number of open connections of clients.

        Example::

            proxy.cut()
            print(proxy.connections)
        """
        return len(self._relay.links)

    @property
    def injected(self) -> int:
        """The number of faults that ``cut_at``, ``stall_at`` and ``drop_at`` have caused so far.

        Example::

            proxy.cut_at("before_answer", "Deposited")
            client.write_message("account-1", NewMessage("Deposited"))
            print(proxy.injected)  # 1
        """
        return self._relay.plan.injected

    def cut(self, *, notify_server: bool = True) -> None:
        """Reset all open connections. New ones work.

        Example::

            with FaultProxy("postgresql://localhost/shop") as proxy, Client(proxy.url) as client:
                proxy.cut()  # all connections end; the next ones are accepted
                client.write_message("account-1", NewMessage("Deposited"))

        Args:
            notify_server: False to reset the clients' side only, as if their machine had lost its
                power: the server gets what they had sent, and its sessions go on until ``resume``
                or ``close``.
        """

        def command() -> None:
            for link in list(self._relay.links):
                if notify_server:
                    self._relay.end(link, is_reset=True)
                else:
                    self._relay.orphan(link)

        self._relay.do(command)

    def cut_at(
        self, point: FaultPoint, marker: str | bytes | None = None, *, times: int = 1, skip: int = 0
    ) -> None:
        """End the connection of the next request at a point of it: see the class.

        It replaces what was asked for by ``cut_at``, ``stall_at`` or ``drop_at`` before, and looks
        at requests that begin after it returns, on any connection.

        Example::

            proxy.cut_at("before_answer", "Deposited", times=2)
            client.write_message("account-1", NewMessage("Deposited"))  # stored once

        Args:
            point: when to end it.
            marker: bytes that the request contains: a part of its statement, or of a parameter such
                as a message's id or type; None for any request, that which begins a session
                included.
            times: how many requests; each on the connection on which it comes.
            skip: how many requests with this marker to forward before.

        Raises:
            ValidationError: an argument is invalid, or connections are encrypted. Nothing changes.
        """
        self._plan("cut", point, marker, times, skip)

    def stall_at(
        self, point: FaultPoint, marker: str | bytes | None = None, *, skip: int = 0
    ) -> None:
        """Stall everything, as ``stall`` does, when the next request is at a point of it.

        Example::

            proxy.stall_at("before_request", "Deposited")

        Args:
            point: when to begin.
            marker: as for ``cut_at``.
            skip: as for ``cut_at``.

        Raises:
            ValidationError: an argument is invalid, or connections are encrypted. Nothing changes.
        """
        self._plan("stall", point, marker, 1, skip)

    def drop_at(
        self, point: FaultPoint, marker: str | bytes | None = None, *, times: int = 1, skip: int = 0
    ) -> None:
        """Lose what follows a point of the next request on its connection, which stays open.

        For a point of the request, the requests from there on are lost, and for one of the answer
        the answers.

        Example::

            proxy.drop_at("after_request", "Deposited")

        Args:
            point: from where on.
            marker: as for ``cut_at``.
            times: as for ``cut_at``.
            skip: as for ``cut_at``.

        Raises:
            ValidationError: an argument is invalid, or connections are encrypted. Nothing changes.
        """
        self._plan("drop", point, marker, times, skip)

    def stall(self, direction: Literal["requests", "answers", "both"] = "both") -> None:
        """Move no byte any more, until ``resume``; then it arrives.

        Connections are still accepted, so that a new one waits, too.

        Example::

            proxy.stall("answers")  # nothing comes back until resume()
            proxy.resume()

        Args:
            direction: ``"requests"`` for what clients send, ``"answers"`` for what the server
                sends.

        Raises:
            ValidationError: it is not one of the three. Nothing changes.
        """
        directions = _check_direction(direction)

        def command() -> None:
            self._relay.stalls = set(directions)

        self._relay.do(command)

    def drop(
        self,
        direction: Literal["requests", "answers", "both"] = "both",
        *,
        new_connections: bool = True,
    ) -> None:
        """Lose all bytes, until ``resume``; a connection that has lost some is reset then.

        Neither side gets notice, as when the network between them is gone: the end of a
        connection is lost, too.

        Example::

            proxy.drop("answers")
            proxy.resume()

        Args:
            direction: ``"requests"`` for what clients send, ``"answers"`` for what the server
                sends.
            new_connections: False to lose the bytes of the connections that are open now only.

        Raises:
            ValidationError: the direction is not one of the three. Nothing changes.
        """
        directions = _check_direction(direction)

        def command() -> None:
            if new_connections:
                self._relay.drops = set(directions)
            for link in self._relay.links:
                link.requests.drops |= "requests" in directions
                link.answers.drops |= "answers" in directions

        self._relay.do(command)

    def slow(self, *, bytes_per_second: float | None = None, latency: float = 0.0) -> None:
        """Slow the network down, for what is sent from now on.

        Example::

            proxy.slow(bytes_per_second=10_000, latency=0.2)

        Args:
            bytes_per_second: the bandwidth of each connection and direction, at least 1; None for
                no limit.
            latency: seconds that each byte needs, each way.

        Raises:
            ValidationError: an argument is invalid, or neither slows anything. Nothing changes.
        """
        if bytes_per_second is not None:
            _check_number("bytes_per_second", bytes_per_second, 1.0)
        _check_number("latency", latency, 0.0)
        if bytes_per_second is None and not latency:
            raise ValidationError("slow needs bytes_per_second or latency. Nothing was changed.")
        pace = Pace(bytes_per_second, latency)

        def command() -> None:
            self._relay.pace = pace

        self._relay.do(command)

    def refuse(self) -> None:
        """Reset all open connections, and refuse new ones until ``resume``.

        On Linux the client gets "connection refused"; elsewhere a reset after it has connected.

        Example::

            proxy.refuse()
            try:
                client.write_message("account-1", NewMessage("Deposited"))
            except StoreUnavailableError:
                proxy.resume()
        """

        def command() -> None:
            self._relay.refuse(True)
            for link in list(self._relay.links):
                self._relay.end(link, is_reset=True)

        self._relay.do(command)

    def resume(self) -> None:
        """Forward again, as at the beginning.

        What was stalled arrives. Connections that have lost bytes are reset, and sessions whose
        clients were cut without notice to the server end. A fault that was asked for and has not
        come is forgotten.

        Example::

            proxy.stall()
            proxy.resume()
        """

        def command() -> None:
            relay = self._relay
            relay.stalls, relay.drops, relay.pace = set(), set(), None
            relay.plan.fault = None
            relay.refuse(False)
            for link in [link for link in relay.links if link.has_lost]:
                relay.end(link, is_reset=True)
            while relay.orphans:
                relay.orphans.pop().close()

        self._relay.do(command)

    def close(self) -> None:
        """End the proxy and reset all of its connections. Does nothing on a closed one.

        Example::

            proxy = FaultProxy("postgresql://localhost/shop")
            proxy.close()
        """
        self._relay.close()

    def _plan(self, action: Action, point: Any, marker: Any, times: Any, skip: Any) -> None:
        if point not in get_args(FaultPoint):
            names = ", ".join(map(repr, get_args(FaultPoint)))
            raise ValidationError(f"point must be one of {names}, not {point!r:.60}. {_UNCHANGED}")
        if marker is not None and not (isinstance(marker, str | bytes) and marker):
            raise ValidationError(
                f"marker must be a non-empty str or bytes, or None, not {marker!r:.60}. "
                f"{_UNCHANGED}"
            )
        check_integer("times", times, least=1, most=_MOST_TIMES)
        check_integer("skip", skip, least=0, most=_MOST_TIMES)
        if self._target.uses_tls:
            raise ValidationError(
                "the target's sslmode asks for TLS, so the proxy cannot read requests: use cut, "
                f"stall, drop, slow or refuse, or a target without TLS. {_UNCHANGED}"
            )
        wanted = marker.encode() if isinstance(marker, str) else marker or b""

        def command() -> None:
            self._relay.plan.fault = PointFault(action, point, wanted, times, skip)

        self._relay.do(command)


_UNCHANGED: Final = "Nothing was changed."


def _check_direction(value: Any) -> tuple[Direction, ...]:
    if value == "both":
        return get_args(Direction)
    if value not in get_args(Direction):
        raise ValidationError(
            f"direction must be 'requests', 'answers' or 'both', not {value!r:.60}. {_UNCHANGED}"
        )
    return (value,)


def _check_number(name: str, value: Any, least: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value < float("inf"):
        raise ValidationError(
            f"{name} must be a number of at least {least:g}, not {value!r:.60}. {_UNCHANGED}"
        )
