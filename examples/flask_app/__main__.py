"""Run it as ``python -m examples.flask_app``; MESSAGEDB_URL is the address of the store."""

from __future__ import annotations

import os

from .app import create_app

create_app(os.environ.get("MESSAGEDB_URL", "embedded:./data")).run(port=8000)
