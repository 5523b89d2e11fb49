"""For servers of ASGI: ``uvicorn --workers 4 examples.fastapi_app.asgi:app``."""

from __future__ import annotations

import os

from .app import create_app

app = create_app(os.environ.get("MESSAGEDB_URL", "embedded:./data"))
