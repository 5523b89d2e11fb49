"""The casing of names as in the Eventide toolkit: camelCase in the store, snake_case in Ruby."""

from __future__ import annotations

import re
from typing import Final

_NEXT_WORD: Final = re.compile(r"/(.)|(?<!^)_(.)")
_CAPITALS: Final = re.compile(r"([A-Z]+)([A-Z][a-z])")
_CAPITAL: Final = re.compile(r"([a-z0-9])([A-Z])")


def camel(text: str) -> str:
    """Return a name as Ruby stores it: ``"someKey"`` for ``"some_key"``.

    A ``_`` and the character after it become a capital, except at either end; the first letter
    becomes lower-case. (A ``/`` becomes ``::``.) `underscore` does not restore every name: digits
    lose their ``_`` (``"address1"`` for ``"address_1"``), and so do capitals (``"sOMEKEY"`` for
    ``"SOME_KEY"``).

    Example::

        print(streams.camel("bank_account"))  # bankAccount
    """
    changed = _NEXT_WORD.sub(_capital, text)
    return changed[:1].lower() + changed[1:]


def underscore(text: str) -> str:
    """Return a name as Ruby reads it: ``"some_key"`` for ``"someKey"``.

    A word begins at a capital after a lower-case ASCII letter or a digit, and at the last of
    several capitals before a lower-case letter (``"some_http_event"`` for ``"someHTTPEvent"``);
    ``-`` becomes ``_``, ``::`` becomes ``/``, and all letters become lower-case.

    Example::

        print(streams.underscore("BankAccount"))  # bank_account
    """
    parted = _CAPITAL.sub(r"\1_\2", _CAPITALS.sub(r"\1_\2", text.replace("::", "/")))
    return parted.replace("-", "_").lower()


def _capital(match: re.Match[str]) -> str:
    after_slash, after_underscore = match.groups()
    return f"::{after_slash.upper()}" if after_slash else str(after_underscore.upper())
