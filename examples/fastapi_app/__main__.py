"""Run it as ``python -m examples.fastapi_app``; MESSAGEDB_URL is the address of the store."""

from __future__ import annotations

import os

import uvicorn

from .app import create_app

uvicorn.run(create_app(os.environ.get("MESSAGEDB_URL", "embedded:./data")), port=8000)
