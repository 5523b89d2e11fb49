"""The options of a client, validated one time, before anything is opened."""

from __future__ import annotations

from time import monotonic
from typing import Any

import msgspec

from .._argument_checks import check_integer, check_seconds, is_storable
from .._errors import ValidationError
from .._messages.registry import MessageRegistry
from ..hooks import Hooks
from .conninfo import check_conninfo

EMBEDDED_PREFIX = "embedded:"

# The seconds that a client waits after the server's own timeout, for its answer to arrive.
RESPONSE_GRACE_SECONDS = 1.0


def has_time_left(deadline: float) -> bool:
    """Return True if there is time for the server's answer before a deadline of ``monotonic``."""
    return monotonic() < deadline - RESPONSE_GRACE_SECONDS


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All options of a client. Times are seconds."""

    conninfo: str
    schema: str
    min_size: int
    max_size: int
    timeout: float
    command_timeout: float
    pooler: bool | None
    direct_writes: bool | None
    default_batch_size: int
    decimals: bool
    registry: MessageRegistry = msgspec.field(default_factory=MessageRegistry)
    hooks: tuple[Hooks, ...] = ()
    group_commit: bool = False

    @property
    def embedded_folder(self) -> str | None:
        """The folder of an ``embedded:`` address, '' for a temporary server; else None."""
        if self.conninfo.startswith(EMBEDDED_PREFIX):
            return self.conninfo.removeprefix(EMBEDDED_PREFIX)
        return None


def check_settings(settings: Settings) -> None:
    """Check every option.

    Raises:
        ValidationError: an option is out of its range; the error names it. Nothing was opened.
    """
    _check_address(settings.conninfo)
    schema: Any = settings.schema
    if not _is_name(schema):
        raise ValidationError(
            f"schema must be the name of a PostgreSQL schema, at most 63 bytes, not {schema!r}"
        )
    check_integer("min_size", settings.min_size, least=0)
    check_integer("max_size", settings.max_size, least=1)
    if settings.max_size < settings.min_size:
        raise ValidationError(
            f"max_size ({settings.max_size}) must not be less than min_size ({settings.min_size})"
        )
    check_seconds("timeout", settings.timeout)
    check_seconds("command_timeout", settings.command_timeout)
    if settings.decimals not in (True, False):
        raise ValidationError(f"decimals must be True or False, not {settings.decimals!r}")
    _check_group_commit(settings)
    registry: Any = settings.registry
    if not isinstance(registry, MessageRegistry):
        raise ValidationError(
            f"registry must be a MessageRegistry, not {type(registry).__name__}: create one, and "
            "add your classes to it with its add()"
        )
    for name in ("pooler", "direct_writes"):
        flag: Any = getattr(settings, name)
        if flag not in (None, True, False):
            raise ValidationError(
                f"{name} must be True, False, or None to detect it on opening, not {flag!r}"
            )
    if settings.default_batch_size != -1:
        check_integer("default_batch_size", settings.default_batch_size, least=1)


def _check_group_commit(settings: Settings) -> None:
    if settings.group_commit not in (True, False):
        raise ValidationError(f"group_commit must be True or False, not {settings.group_commit!r}")
    if not settings.group_commit:
        return
    if settings.pooler:
        raise ValidationError(
            "group_commit does not work with pooler=True: a group needs connections that keep "
            "their settings. Omit one of the two, or pass pooler=False for a pooler in session mode"
        )
    if settings.direct_writes is False:
        raise ValidationError(
            "group_commit does not work with direct_writes=False: a group is inserted into the "
            "table of messages. Omit one of the two"
        )


def _check_address(conninfo: Any) -> None:
    if not (isinstance(conninfo, str) and conninfo.startswith(EMBEDDED_PREFIX)):
        check_conninfo(conninfo)
    elif conninfo.startswith(f"{EMBEDDED_PREFIX}//"):
        raise ValidationError(
            "an embedded address has no '//': use 'embedded:./folder' or 'embedded:/a/folder'"
        )
    elif "\0" in conninfo:
        raise ValidationError("the folder of an embedded address must not contain a NUL character")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and is_storable(value) and 1 <= len(value.encode()) <= 63
