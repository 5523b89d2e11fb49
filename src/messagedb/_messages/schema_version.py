"""The version of a message's data, as its metadata contains it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from .._argument_checks import check_integer
from .._errors import ValidationError


class _VersionOnly(msgspec.Struct, gc=False):
    """Metadata of which only the version is decoded."""

    version: Any = msgspec.field(default=None, name="schemaVersion")


_decode_version = msgspec.json.Decoder(_VersionOnly | None).decode
_is_version = re.compile(r"[1-9][0-9]{0,17}").fullmatch
_CACHE = {str(version): version for version in range(1, 1000)}


def check_version(value: Any, label: str) -> int:
    """Check and return a version that a user passed.

    Raises:
        ValidationError: it is not an integer from 1.
    """
    check_integer(label, value, least=1, most=10**18 - 1)
    version: int = value
    return version


def get_stored_version(metadata: str | None) -> int:
    """Return the version in stored metadata; 1 if it has none.

    Raises:
        ValueError: the metadata is not an object, or its version is invalid.
    """
    if metadata is None or (marked := _decode_version(metadata)) is None:
        return 1
    value = marked.version
    if value is None:
        return 1
    if value.__class__ is str:
        if (small := _CACHE.get(value)) is not None:
            return small
        if _is_version(value):
            return int(value)
    if value.__class__ is int and value >= 1:
        return int(value)
    raise ValueError(f"{value!r:.60} is not a version: it must be a string of an integer from 1")


def set_version(metadata: str | None, version: int) -> str:
    """Add a version to the JSON of metadata, as a string: a number would stop a Ruby consumer.

    Raises:
        ValidationError: the metadata already has another version. Nothing was sent.
    """
    mark = f'"schemaVersion":"{version}"'
    marked = None if metadata is None else _decode_version(metadata)
    if metadata is None or marked is None or metadata == "{}":
        return f"{{{mark}}}"
    if marked.version is None:
        return f"{metadata[:-1]},{mark}}}"
    if marked.version != str(version):
        raise ValidationError(
            f"metadata has the schemaVersion {marked.version!r:.60}, and the data is an instance "
            f"of version {version}: leave it out, it is added automatically. Nothing was sent."
        )
    return metadata
