"""Connections, cursors, pipelines and the pool, on psycopg."""

from __future__ import annotations
