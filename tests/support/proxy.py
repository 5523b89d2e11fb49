"""A TCP proxy in front of PostgreSQL that stalls, cuts and loses answers on command."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from tests.support.backend import make_url
from tests.support.relay import Loss, Mode, Relay, is_whole


class FaultProxy:
    """A proxy on a port of 127.0.0.1, with a separate thread, in front of a server's URL.

    It begins by forwarding. Each command is in force when its method returns, for connections that
    there are and for new ones.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._relay = Relay(target)

    @property
    def lost(self) -> int:
        """How many answers `lose` has lost so far."""
        return self._relay.lost

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._relay.port

    def url(self, target: str | None = None, **changes: str) -> str:
        """Return the server's URL, or another of the same server, by way of the proxy."""
        # Without hostaddr: it would lead past the proxy. Without TLS: the proxy reads along.
        values = conninfo_to_dict(self._target if target is None else target)
        names = ("dbname", "user", "password")
        kept = {name: str(values[name]) for name in names if values.get(name)}
        way = {"host": "127.0.0.1", "port": str(self._relay.port), "sslmode": "disable"}
        return make_url(**(kept | way | {"gssencmode": "disable"} | changes))

    def forward(self) -> None:
        """Forward again: what was held, and what piled up meanwhile, arrives; losses end."""

        def command() -> None:
            self._relay.mode = "forward"
            self._relay.answers_left = None
            self._relay.loss = None
            for connection in list(self._relay.connections):
                if connection.lost and not is_whole(connection.lost):
                    # The rest of an answer whose beginning is lost would be no answer of anything.
                    self._relay.end(connection, reset=True)
                connection.lost = None

        self._relay.do(command)

    def stall(self) -> None:
        """Accept connections, and move no byte any more."""
        self._set_mode("stall")

    def stall_after(self, answers: int) -> None:
        """Let so many pieces of answers pass, all connections together, and then stall."""

        def command() -> None:
            self._relay.answers_left = answers
            if answers == 0:
                self._relay.mode = "stall"

        self._relay.do(command)

    def drop_answers(self) -> None:
        """Swallow what the server says; what the clients say arrives."""
        self._set_mode("drop")

    def hold_answers(self) -> None:
        """Keep what the server says until ``forward``; what the clients say arrives."""
        self._set_mode("hold")

    def silence(self) -> None:
        """Lose all that is said from now on, on the connections that there are, both ways.

        Neither side gets notice, as when the network between them is gone. New connections work.
        """

        def command() -> None:
            for connection in self._relay.connections:
                connection.silent = True

        self._relay.do(command)

    def cut(self) -> None:
        """Reset all connections, on both sides."""

        def command() -> None:
            for connection in list(self._relay.connections):
                self._relay.end(connection, reset=True)

        self._relay.do(command)

    def refuse(self) -> None:
        """Reset all connections, on both sides, and each new one, until ``forward``."""
        self._set_mode("refuse")
        self.cut()

    def cut_clients(self) -> None:
        """Reset the clients' connections; the server goes on as if they were still there."""

        def command() -> None:
            for connection in list(self._relay.connections):
                self._relay.orphan(connection)

        self._relay.do(command)

    def end_orphans(self) -> None:
        """Close the server's side of the connections that `cut_clients` cut."""

        def command() -> None:
            while self._relay.orphans:
                self._relay.orphans.pop().close()

        self._relay.do(command)

    def lose(self, marker: bytes | str, *, times: int = 1, cut: bool = True) -> None:
        """Lose the answer to the next request that holds the marker.

        The request arrives, its answer is swallowed to its end, and by then the server is done with
        it. Then both sides are reset (*cut*), or the connection stays silent.

        Args:
            marker: bytes of a request: part of a statement, or of a parameter such as an id.
            times: how many answers to lose.
            cut: whether to reset the connection after the answer was swallowed.
        """
        data = marker.encode() if isinstance(marker, str) else marker

        def command() -> None:
            self._relay.loss = Loss(data, times, cut)

        self._relay.do(command)

    def close(self) -> None:
        """End the proxy and all of its connections."""
        self._relay.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_mode(self, mode: Mode) -> None:
        def command() -> None:
            self._relay.mode = mode

        self._relay.do(command)
