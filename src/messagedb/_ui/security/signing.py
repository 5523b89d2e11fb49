"""Sessions and the tokens of forms, signed: only ended sessions are stored, in memory."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

SESSION_SECONDS: Final = 12 * 60 * 60
_MOST_ENDED: Final = 10_000


class Signer:
    """Signs with a key that is derived from the secret and the token of the UI.

    Applications with the same secret and token accept the sessions of each other.
    """

    def __init__(self, secret: bytes, token: str | None) -> None:
        self._key = hmac.digest(secret, b"messagedb.ui:" + (token or "").encode(), "sha256")
        self._ended: dict[str, None] = {}
        # Cookies of all ports of a host are one jar: another UI there has another name.
        self.cookie_name = f"messagedb_ui_{self._sign('name', '')[:8]}"

    def start_session(self, now: float) -> tuple[str, str]:
        """Return the id of a new session, and the value of its cookie."""
        session = secrets.token_hex(16)
        return session, self._build_cookie(session, int(now) + SESSION_SECONDS)

    def read_session(self, cookie: str | None, now: float) -> str | None:
        """Return the id of the session of a cookie; None if it is invalid or too old."""
        session, _, expires = (cookie or "").rpartition(":")[0].partition(":")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
            return None
        expected = self._build_cookie(session, int(expires))
        if not is_equal(expected, cookie or "") or int(expires) <= now:
            return None
        return None if session in self._ended else session

    def end_session(self, session: str) -> None:
        """Refuse the cookie of a session from now on, in this process.

        The newest 10,000 ended sessions are remembered.
        """
        self._ended[session] = None
        while len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def build_form_token(self, session: str) -> str:
        """Return the token that the forms of a session contain."""
        return self._sign("form", session)

    def _build_cookie(self, session: str, expires: int) -> str:
        signed = f"{session}:{expires}"
        return f"{signed}:{self._sign('session', signed)}"

    def _sign(self, purpose: str, value: str) -> str:
        return hmac.new(self._key, f"{purpose}:{value}".encode(), hashlib.sha256).hexdigest()


def is_equal(expected: str, given: str) -> bool:
    """Compare two strings in a time that does not depend on where they differ."""
    return hmac.compare_digest(
        expected.encode("utf-8", "surrogatepass"), given.encode("utf-8", "surrogatepass")
    )
