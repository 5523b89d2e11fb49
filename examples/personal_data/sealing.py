"""Encrypt and decrypt a personal field: AES-GCM, with a new nonce each time."""

from __future__ import annotations

from base64 import b64decode, b64encode
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_SIZE = 12


def new_key() -> bytes:
    """Return a random key of 256 bits."""
    return AESGCM.generate_key(256)


def seal(key: bytes, person: str, text: str) -> str:
    """Encrypt a field of a person; the result cannot pass for the field of another one."""
    nonce = urandom(NONCE_SIZE)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), person.encode())
    return b64encode(nonce + sealed).decode()


def unseal(key: bytes | None, person: str, sealed: str) -> str | None:
    """Decrypt a field; None if the person is forgotten, also if there is a new key since."""
    if key is None:
        return None
    stored = b64decode(sealed)
    try:
        return (
            AESGCM(key).decrypt(stored[:NONCE_SIZE], stored[NONCE_SIZE:], person.encode()).decode()
        )
    except InvalidTag:
        return None
