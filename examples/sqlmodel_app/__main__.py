"""Run it as ``python -m examples.sqlmodel_app``, on port 8000 or ``PORT``.

MESSAGEDB_URL is a URL that may create tables.
"""

from __future__ import annotations

import os

import uvicorn

from .app import create_app

uvicorn.run(create_app(os.environ["MESSAGEDB_URL"]), port=int(os.environ.get("PORT", "8000")))
