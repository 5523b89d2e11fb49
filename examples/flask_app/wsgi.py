"""For servers of WSGI: ``gunicorn --preload --workers 4 examples.flask_app.wsgi:app``."""

from __future__ import annotations

import os

from .app import create_app

app = create_app(os.environ.get("MESSAGEDB_URL", "embedded:./data"))
