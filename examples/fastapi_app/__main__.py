"""Run it as ``python -m examples.fastapi_app``, on port 8000 or ``PORT``.

MESSAGEDB_URL is the address of the store.
"""

from __future__ import annotations

import os

import uvicorn

from .app import create_app

address = os.environ.get("MESSAGEDB_URL", "embedded:./data")
uvicorn.run(create_app(address), port=int(os.environ.get("PORT", "8000")))
