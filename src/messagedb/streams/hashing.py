"""The server's 64-bit hash, and the member of a consumer group that it gives a stream to."""

from __future__ import annotations

import hashlib

from .stream_name import cardinal_id

_MAX_SIZE = 32767  # the server takes the size of a group as a smallint


def hash_64(value: str) -> int:
    """Return the server's ``hash_64``: 8 bytes of the text's MD5 as a signed integer.

    They are the first 8, big-endian, and the text is hashed as UTF-8.

    Raises:
        ValueError: the text holds a lone surrogate, and so has no UTF-8.
    """
    try:
        text = value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"a lone surrogate is not Unicode text and has no hash: {value!r}"
        ) from None
    return int.from_bytes(hashlib.md5(text, usedforsecurity=False).digest()[:8], "big", signed=True)


def group_member(stream_name: str, size: int) -> int | None:
    """Return the number, from 0, of the member of a consumer group that reads this stream.

    Only the cardinal id counts: streams of several categories that have it in common go to the same
    number. None for the name of a category, whose messages (position streams, for example) no
    member gets, not even the only one. A cardinal id whose hash is -2**63 has a member here, while
    the server cannot take the absolute value of that hash and fails the read.

    Args:
        stream_name: any stream name.
        size: the number of members, 1 to 32767.

    Raises:
        ValueError: the size is not a number in that range, or the cardinal id holds a lone
            surrogate.
    """
    # What the annotation says is checked all the same: True and 2.0 would give a member, and the
    # server none.
    if type(size) is not int or not 1 <= size <= _MAX_SIZE:
        raise ValueError(
            f"the size of a consumer group must be an integer from 1 to {_MAX_SIZE}, not {size!r}"
        )
    key = cardinal_id(stream_name)
    return None if key is None else abs(hash_64(key)) % size
