"""Django's settings: its own tables and the message store are in one database."""

from __future__ import annotations

import os
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from messagedb import embedded


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for a URL of PostgreSQL."""
    given = conninfo_to_dict(url)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST"}
    settings = {names[key]: str(value) for key, value in given.items() if key in names}
    rest = {key: value for key, value in given.items() if key not in (*names, "port")}
    return {
        **settings,
        "ENGINE": "django.db.backends.postgresql",
        "PORT": str(given.get("port", "")),
        "OPTIONS": rest,
    }


# A store for a first run: PostgreSQL from a wheel, in the folder data.
MESSAGEDB_URL = os.environ.get("DATABASE_URL") or embedded.start("data").admin_url
DATABASES = {"default": database(MESSAGEDB_URL)}

SECRET_KEY = os.environ.get("SECRET_KEY", "for a first run only")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["examples.django_app.bank"]
ROOT_URLCONF = "examples.django_app.urls"
USE_TZ = True
