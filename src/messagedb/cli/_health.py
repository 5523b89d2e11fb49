"""Health and metrics of a running app over HTTP: for probes, load balancers and Prometheus."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec

from messagedb._metrics.prometheus import CONTENT_TYPE
from messagedb.consumers import ConsumerState, ConsumerStatus

_NOT_LIVE: Final = frozenset({"failed", "stopped"})
_NOT_READY: Final = _NOT_LIVE | {"starting", "reconnecting", "stopping"}

ReadStatuses = Callable[[], Sequence[ConsumerStatus]]


@contextmanager
def serve_health(
    port: int, read_statuses: ReadStatuses, render_metrics: Callable[[], str]
) -> Generator[int]:
    """Answer ``/live``, ``/ready`` and ``/metrics`` on all interfaces during a block.

    The answers are statuses of this process: no query is sent. They name consumers and their
    states, and no errors or messages.

    Args:
        port: the port; 0 for any free one.
        read_statuses: returns the statuses of the consumers.
        render_metrics: returns the text of the metrics.

    Returns:
        The port.

    Raises:
        OSError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] == "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE, render_metrics().encode())
            else:
                status, body = build_answer(self.path, read_statuses())
                self._answer(status, "application/json", msgspec.json.encode(body))

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write no line for a probe."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="messagedb-health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def build_answer(
    path: str, statuses: Sequence[ConsumerStatus]
) -> tuple[HTTPStatus, dict[str, Any]]:
    """Return the status and the body of the answer to a probe.

    ``/live`` fails when a consumer has ended, so that the process should be restarted. ``/ready``
    also fails while one has not started, or the store is unavailable. A consumer that waits for the
    lease of another process is ready: it takes over. One that never ran has not ended: a read model
    creates its table before.
    """
    failing = {"/live": _NOT_LIVE, "/ready": _NOT_READY}.get(path.partition("?")[0])
    if failing is None:
        return HTTPStatus.NOT_FOUND, {"error": "the paths are /live, /ready and /metrics"}
    states = {each.name: _get_state(each) for each in statuses}
    is_good = failing.isdisjoint(states.values())
    status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, {"ok": is_good, "consumers": states}


def _get_state(status: ConsumerStatus) -> ConsumerState:
    has_begun = status.next_position is not None
    return "starting" if status.state == "stopped" and not has_begun else status.state
