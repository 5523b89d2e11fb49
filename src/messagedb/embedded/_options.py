"""What a caller may ask of an embedded server, checked before anything is touched."""

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
# How the server is reached, where it lives and where it logs is messagedb's: it would not find its
# own server again.
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
    """Give the absolute path of the folder that was asked for; None for a temporary server."""
    if folder is None:
        return None
    path = os.fspath(folder)
    if not path:
        raise ValidationError(
            "the folder of an embedded server is empty text. Nothing was started. Name a folder, "
            "or pass None for a temporary server."
        )
    if "\0" in path:
        raise ValidationError(
            f"the folder {path!r} of an embedded server has a NUL character in it, which no path "
            "can have. Nothing was started. Name another folder."
        )
    if fast:
        raise ValidationError(
            "fast=True turns off what makes writes last, so it is for temporary servers only, and "
            "a folder was given. Nothing was started. Leave out fast, or the folder. "
            "(settings={'synchronous_commit': 'off'} is quick and can lose the last moments before "
            "a crash, but never damages the folder.)"
        )
    return Path(path).expanduser().absolute()


def check_settings(
    settings: Mapping[str, str] | None, *, fast: bool, lasts: bool
) -> dict[str, str]:
    """Check the caller's PostgreSQL settings, and add them to the fast ones if those are wanted."""
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
                f"the PostgreSQL setting {name} belongs to messagedb: it says how the embedded "
                "server is reached or where it logs. Nothing was started. Leave it out; for a "
                "server of your own design, start PostgreSQL yourself and give its URL."
            )
        if not isinstance(value, str) or "\0" in value:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValidationError(
                f"the value {value!r} of the PostgreSQL setting {name} is not text without NUL "
                "characters. Nothing was started. Write it as PostgreSQL's configuration file "
                "would, such as '16MB' or 'off'."
            )
        if lasts and name in _DURABILITY and value.strip().lower() in _OFF:
            raise ValidationError(
                f"the setting {name} = {value} can destroy a folder in a crash, so it is for "
                "temporary servers only. Nothing was started. Leave it out, or use "
                "synchronous_commit = off."
            )
        checked[name] = value
    return checked
