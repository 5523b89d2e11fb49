"""The server's 64-bit hash, and the assignment of streams to members of a consumer group."""

from __future__ import annotations

import hashlib

from .stream_name import cardinal_id

_MAX_SIZE = 32767  # the server's type for the size of a group is smallint


def hash_64(value: str) -> int:
    """Return the server's ``hash_64``: 8 bytes of the string's MD5 as a signed integer.

    They are the first 8, big-endian, and the string is hashed as UTF-8.

    Example::

        print(streams.hash_64("123"))

    Raises:
        ValueError: the string contains a lone surrogate, which UTF-8 cannot encode.
    """
    try:
        text = value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a lone surrogate is not Unicode and has no hash: {value!r}") from None
    return int.from_bytes(hashlib.md5(text, usedforsecurity=False).digest()[:8], "big", signed=True)


def group_member(stream_name: str, size: int) -> int | None:
    """Return the number, from 0, of the member of a consumer group that reads this stream.

    It depends on the cardinal id only: streams of several categories with the same cardinal id go
    to the same number. None for the name of a category: its messages (in position streams, for
    example) are read by no member, even in a group of one. A cardinal id whose hash is
    ``-2**63`` has a member here, while the server cannot compute the absolute value of that hash
    and fails the read.

    Example::

        print(streams.group_member("account-123", size=4))

    Args:
        stream_name: any stream name.
        size: the number of members, 1 to 32767.

    Raises:
        ValueError: the size is not an integer in that range, or the cardinal id contains a lone
            surrogate.
    """
    # The type is checked despite the annotation: True and 2.0 would result in a member, but not on
    # the server.
    if type(size) is not int or not 1 <= size <= _MAX_SIZE:
        raise ValueError(
            f"the size of a consumer group must be an integer from 1 to {_MAX_SIZE}, not {size!r}"
        )
    key = cardinal_id(stream_name)
    return None if key is None else abs(hash_64(key)) % size
