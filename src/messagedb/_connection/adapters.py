"""The adapters that the client's own cursors use."""

from __future__ import annotations

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.types.bool import BoolBinaryLoader
from psycopg.types.none import NoneDumper
from psycopg.types.numeric import (
    Int2BinaryLoader,
    Int4BinaryLoader,
    Int8BinaryDumper,
    Int8BinaryLoader,
)
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader, TextLoader


def _adapters() -> AdaptersMap:
    """Return only the adapters that our statements need: a user's registrations have no effect."""
    adapters = AdaptersMap(types=psycopg.adapters.types)
    for oid_name, loader in (
        ("text", TextBinaryLoader),
        ("varchar", TextBinaryLoader),
        ("name", TextBinaryLoader),
        ("bool", BoolBinaryLoader),
        ("int2", Int2BinaryLoader),
        ("int4", Int4BinaryLoader),
        ("int8", Int8BinaryLoader),
        # A timestamp stays the server's number of microseconds since 2000: it is decoded on access,
        # and one that Python cannot represent does not affect other messages of its page.
        ("timestamp", Int8BinaryLoader),
    ):
        adapters.register_loader(oid_name, loader)
    adapters.register_loader(0, TextLoader)
    adapters.register_dumper(str, StrDumperUnknown)
    # One width for every integer: each statement is prepared once, whatever the value.
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(type(None), NoneDumper)
    return adapters


ADAPTERS = _adapters()
