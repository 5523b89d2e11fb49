"""Messages from the tasks of Celery, each stored once: see docs/recipes/workers.md."""
