"""The casing of names as the Eventide toolkit changes it: camelCase stored, snake_case in Ruby."""

from __future__ import annotations

import re
from typing import Final

_NEXT_WORD: Final = re.compile(r"/(.)|(?<!^)_(.)")
_CAPITALS: Final = re.compile(r"([A-Z]+)([A-Z][a-z])")
_CAPITAL: Final = re.compile(r"([a-z0-9])([A-Z])")


def camel(text: str) -> str:
    """Return a name as Ruby stores it: ``"someKey"`` for ``"some_key"``.

    A ``_`` and what follows it become a capital, but for one at either end; the first letter
    becomes small. (A ``/`` becomes ``::``.) Not every name comes back with `underscore`: digits
    lose their ``_`` (``"address1"`` for ``"address_1"``), and capitals theirs (``"sOMEKEY"`` for
    ``"SOME_KEY"``).
    """
    changed = _NEXT_WORD.sub(_capital, text)
    return changed[:1].lower() + changed[1:]


def underscore(text: str) -> str:
    """Return a name as Ruby reads it: ``"some_key"`` for ``"someKey"``.

    A capital after a small ASCII letter or a digit begins a word, and so does the last of several
    capitals before a small letter (``"some_http_event"`` for ``"someHTTPEvent"``); ``-`` becomes
    ``_``, ``::`` becomes ``/``, and all letters small.
    """
    parted = _CAPITAL.sub(r"\1_\2", _CAPITALS.sub(r"\1_\2", text.replace("::", "/")))
    return parted.replace("-", "_").lower()


def _capital(match: re.Match[str]) -> str:
    after_slash, after_underscore = match.groups()
    return f"::{after_slash.upper()}" if after_slash else str(after_underscore.upper())
