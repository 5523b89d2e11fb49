"""The ASGI application: its routes behind its guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from _messagedb_async.client import AsyncClient

from .._errors import ValidationError
from .._messages.registry import MessageRegistry
from .access.guard import Guard
from .access.sign_out import build_session_routes
from .consumers.routes import build_consumer_routes
from .failures import PageError
from .health.routes import build_health_routes
from .messages.routes import build_message_routes
from .metrics.routes import build_metrics_routes
from .overview.routes import build_overview_routes
from .page import Page, respond_to_failure
from .parked.routes import build_parked_routes
from .rendering.static_files import build_static_route
from .settings import Change, ReplayConsumer, build_settings
from .site import Site
from .streams.routes import build_stream_routes

__all__ = ["create_app"]


def create_app(
    client: AsyncClient,
    *,
    authorize: Callable[
        [Request],
        Literal["read", "change"] | Awaitable[Literal["read", "change"] | None] | None,
    ]
    | None = None,
    token: str | None = None,
    secret: str | bytes | None = None,
    allowed_hosts: Iterable[str] | None = None,
    allow_changes: bool = False,
    registry: MessageRegistry | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    consumers: Iterable[ReplayConsumer] = (),
    on_change: Callable[[Change], Awaitable[None] | None] | None = None,
    name: str = "",
    production: bool = False,
    time_limit: float = 5.0,
) -> Starlette:
    """Return an ASGI application with pages about a store, to be served or mounted.

    It reads the store with the client, which opens itself on the first request; close it yourself.
    It needs no lifespan events. A request needs the access that ``authorize`` returns, or the
    token: the address ``/?token=…`` exchanges it for a cookie. Without both, a random token is
    made, which is ``app.state.token``.

    Example::

        client = AsyncClient("postgresql://message_store@localhost/message_store")

        def authorize(request: Request) -> Literal["read", "change"] | None:
            return "read" if request.session.get("user") in ADMINS else None

        site.mount("/store", create_app(client, authorize=authorize, allowed_hosts=["example.com"]))

    Args:
        client: the client of the store.
        authorize: your function, or coroutine function, that takes Starlette's request and returns
            ``"read"``, ``"change"``, or None for no access.
        token: the token that a browser needs, at least 16 characters; not with ``authorize``.
        secret: the key that signs sessions, at least 16 characters. Pass the same one, and the same
            token, to each of several worker processes. By default it is random.
        allowed_hosts: the names in the Host header that are answered, without ports; ``"*"`` for
            all of them. By default those of this machine: ``127.0.0.1``, ``localhost``, ``[::1]``.
        allow_changes: whether pages may change the store, for access ``"change"`` and for sessions
            of the token.
        registry: the classes that messages are decoded to.
        redact: a function that takes a message type and the decoded data or metadata, and returns
            what may be shown: its result replaces them on every page and in downloads. Of errors
            of consumers, and of reasons of parked messages, only the class is shown then.
        consumers: consumers of either variant, with their handlers, which replay parked messages.
        on_change: a function, or coroutine function, that takes each change that is made on a
            page, after it was made. Each is also logged, at INFO.
        name: a name of the store, shown on every page.
        production: whether each page shows a bar that says PRODUCTION.
        time_limit: seconds that one query may take. A page that needs longer says what is left out.

    Raises:
        ValidationError: an option is invalid, or the client is not an AsyncClient.
    """
    _check_client(client)
    settings = build_settings(
        authorize=authorize,
        token=token,
        secret=secret,
        allowed_hosts=allowed_hosts,
        allow_changes=allow_changes,
        registry=registry,
        redact=redact,
        consumers=consumers,
        on_change=on_change,
        name=name,
        production=production,
        time_limit=time_limit,
    )
    site = Site(client, settings)
    app = _build_app(site)
    app.state.token = settings.token
    app.state.stop_following = site.stopping.set
    return app


def _build_app(site: Site) -> Starlette:
    async def respond_to_unknown(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        reason = "There is no page at this address."
        if status == 405:
            reason = f"This address does not answer to {request.method:.20}."
        return respond_to_failure(Page(request, site), PageError(status, reason))

    return Starlette(
        routes=[
            build_static_route(),
            *build_session_routes(site),
            *build_overview_routes(site),
            *build_consumer_routes(site),
            *build_parked_routes(site),
            *build_health_routes(site),
            *build_metrics_routes(site),
            *build_stream_routes(site),
            *build_message_routes(site),
        ],
        middleware=[Middleware(Guard, site=site)],
        exception_handlers={404: respond_to_unknown, 405: respond_to_unknown},
    )


def _check_client(client: Any) -> None:
    if not isinstance(client, AsyncClient):
        raise ValidationError(
            f"the UI needs a client of the async variant, not {type(client).__name__}"
        )
