"""The options of the UI, checked."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
from starlette.requests import Request

from .._argument_checks import check_seconds
from .._errors import ValidationError
from .._messages.registry import MessageRegistry
from .security.origins import LOOPBACK

Access: TypeAlias = Literal["read", "change"]
Authorize: TypeAlias = Callable[[Request], Access | Awaitable[Access | None] | None]
Redact: TypeAlias = Callable[[str, Any], Any]
OnChange: TypeAlias = "Callable[[Change], Awaitable[None] | None]"


class ReplayConsumer(Protocol):
    """A consumer of either variant, with its handlers.

    Example::

        replayable: ReplayConsumer = consumer
        print(replayable.name)
    """

    @property
    def name(self) -> str:
        """The stream of its positions, or the key of its row in the table."""
        ...

    def replay_parked(self, parked: Any = None) -> Any:
        """Call its handlers with parked messages again; return how many were handled."""
        ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the store that was made on a page.

    Example::

        def audit(change: Change) -> None:
            print(change.user, change.action, change.target, change.count)

        pages = create_app(async_client, token="secret", allow_changes=True, on_change=audit)

    Attributes:
        user: the name of ``request.user``, if the application around the UI sets it; ``token`` for
            a session of the token.
        address: the address of the browser, as the server sees it.
        action: ``replay``, ``discard`` or ``reset position``.
        target: the consumer, and which of its messages.
        count: the number of messages or positions that were changed.
    """

    user: str
    address: str
    action: str
    target: str
    count: int


class UISettings(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one application: see ``create_app``."""

    token: str | None
    secret: bytes
    authorize: Authorize | None
    allowed_hosts: frozenset[str]
    allow_changes: bool
    registry: MessageRegistry | None
    redact: Redact | None
    consumers: tuple[ReplayConsumer, ...]
    on_change: OnChange | None
    name: str
    production: bool
    time_limit: float


def build_settings(
    *,
    authorize: Authorize | None,
    token: str | None,
    secret: str | bytes | None,
    allowed_hosts: Iterable[str] | None,
    allow_changes: bool,
    registry: MessageRegistry | None,
    redact: Redact | None,
    consumers: Iterable[ReplayConsumer],
    on_change: OnChange | None,
    name: str,
    production: bool,
    time_limit: float,
) -> UISettings:
    """Check the options. Without ``authorize`` and ``token``, a random token is made.

    Raises:
        ValidationError: an option is invalid.
    """
    if authorize is not None and token is not None:
        raise ValidationError("pass authorize= or token=, not both")
    functions = (("authorize", authorize), ("redact", redact), ("on_change", on_change))
    for option, function in functions:
        if function is not None and not callable(function):
            raise ValidationError(f"{option} must be a function, not {type(function).__name__}")
    if token is not None and len(token) < 16:
        raise ValidationError("token must have at least 16 characters: it is all that is asked for")
    if secret is not None and len(secret) < 16:
        raise ValidationError("secret must have at least 16 characters, chosen at random")
    hosts = LOOPBACK if allowed_hosts is None else allowed_hosts
    if isinstance(hosts, str):
        raise ValidationError(f"allowed_hosts must be several names: [{hosts!r}]")
    check_seconds("time_limit", time_limit)
    if authorize is None and token is None:
        token = secrets.token_urlsafe(24)
    key = secrets.token_bytes(32) if secret is None else secret
    return UISettings(
        token=token,
        secret=key.encode() if isinstance(key, str) else key,
        authorize=authorize,
        allowed_hosts=frozenset(host.lower() for host in hosts),
        allow_changes=allow_changes,
        registry=registry,
        redact=redact,
        consumers=_check_consumers(consumers),
        on_change=on_change,
        name=name,
        production=production,
        time_limit=time_limit,
    )


def _check_consumers(consumers: Iterable[ReplayConsumer]) -> tuple[ReplayConsumer, ...]:
    given = tuple(consumers)
    for each in given:
        if not (hasattr(each, "replay_parked") and isinstance(getattr(each, "name", None), str)):
            raise ValidationError(
                f"consumers must be consumers of either variant, not {type(each).__name__}"
            )
    return given
