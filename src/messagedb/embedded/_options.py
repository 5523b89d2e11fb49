"""Options of an embedded server, checked before anything is touched."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from messagedb._errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_$]*)?")
# Settings for the server's address, data and log, which messagedb sets: otherwise it would not find
# its own server again.
_OURS = frozenset(
    {
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "lc_messages",
        "listen_addresses",
        "log_destination",
        "logging_collector",
        "messagedb.server",
        "port",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
    }
)
_DURABILITY = frozenset({"fsync", "full_page_writes"})
_OFF = frozenset({"off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"})


def check_folder_argument(folder: str | os.PathLike[str] | None, fast: bool) -> Path | None:
    """Return the absolute path of the requested folder; None for a temporary server."""
    if folder is None:
        return None
    path = os.fspath(folder)
    if not path:
        raise ValidationError(
            "the folder of an embedded server is an empty string. Nothing was started. Name a"
            " folder, or pass None for a temporary server."
        )
    if "\0" in path:
        raise ValidationError(
            f"the folder {path!r} of an embedded server has a NUL character in it, which no path "
            "can have. Nothing was started. Name another folder."
        )
    if fast:
        raise ValidationError(
            "fast=True turns off the durability of writes, so it is for temporary servers only,"
            " and a folder was passed. Nothing was started. Omit fast, or the folder."
            " (settings={'synchronous_commit': 'off'} is fast and can lose the last moments"
            " before a crash, but never damages the folder.)"
        )
    return Path(path).expanduser().absolute()


def check_settings(
    settings: Mapping[str, str] | None, *, fast: bool, lasts: bool
) -> dict[str, str]:
    """Check the caller's PostgreSQL settings, and add them to the fast ones if requested."""
    checked = dict(FAST) if fast else {}
    for given, value in (settings or {}).items():
        name = given.lower()
        if not _NAME.fullmatch(name):
            raise ValidationError(
                f"{given!r} is not the name of a PostgreSQL setting. Nothing was started. Use "
                "names such as 'shared_buffers' or 'my_extension.my_setting'."
            )
        if name in _OURS:
            raise ValidationError(
                f"the PostgreSQL setting {name} belongs to messagedb: it determines the embedded"
                " server's address or its log. Nothing was started. Omit it; for a server with"
                " other settings, start PostgreSQL yourself and pass its URL."
            )
        if not isinstance(value, str) or "\0" in value:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValidationError(
                f"the value {value!r} of the PostgreSQL setting {name} is not a str without NUL"
                " characters. Nothing was started. Write it as in PostgreSQL's configuration"
                " file, such as '16MB' or 'off'."
            )
        if lasts and name in _DURABILITY and value.strip().lower() in _OFF:
            raise ValidationError(
                f"the setting {name} = {value} can destroy a folder in a crash, so it is for"
                " temporary servers only. Nothing was started. Omit it, or use synchronous_commit"
                " = off."
            )
        checked[name] = value
    return checked
