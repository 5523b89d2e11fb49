"""Words that people search for, with the page that answers each: entries of the site's index.

The search shows a page with such an entry before those that only have the word in their text.
"""

from __future__ import annotations

from typing import Final

ANSWERS: Final = {
    "event sourcing": "entities",
    "CQRS": "read-models",
    "saga": "recipes/process-manager",
    "process manager": "recipes/process-manager",
    "dead letter": "consumers",
    "outbox": "recipes/outbox",
    "GDPR": "recipes/personal-data",
    "tenant": "recipes/tenants",
    "SQLAlchemy": "recipes/sqlalchemy",
    "SQLModel": "recipes/sqlalchemy",
    "Kafka": "recipes/outbox",
    "RabbitMQ": "recipes/outbox",
    "Celery": "recipes/workers",
    "gunicorn": "recipes/workers",
    "Dockerfile": "run",
    "Prometheus": "telemetry",
    "Parquet": "recipes/analysis",
    "archiving": "recipes/retention",
    "read replica": "scaling",
    "read your writes": "consumers",
    "test a whole workflow": "recipes/testing-a-workflow",
    "zero downtime": "recipes/deploys",
    "schema migration": "typed-messages",
    "optimistic locking": "faq",
    "right to be forgotten": "recipes/personal-data",
    "stale read": "faq",
    "changelog": "changelog",
    "license": "faq",
    "multi tenant": "recipes/tenants",
}


def add_entries(name: str, text: str) -> str:
    """Return the text of a page with its entries: below a heading with the word, or the first."""
    for word, page in ANSWERS.items():
        if page == name:
            text = add_entry(text, word)
    return text


def add_entry(text: str, word: str) -> str:
    """Return the text of a page with one more entry."""
    lines = text.split("\n")
    headings = find_headings(lines)
    found = (n for n in headings if word.casefold() in lines[n].replace("-", " ").casefold())
    number = next(found, headings[0])
    lines[number + 1 : number + 1] = ["", f"```{{index}} ! {word}", "```"]
    return "\n".join(lines)


def find_headings(lines: list[str]) -> list[int]:
    """Return the numbers of the lines that are headings, and not comments in code."""
    found: list[int] = []
    is_code = False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            is_code = not is_code
        elif line.startswith("#") and not is_code:
            found.append(number)
    return found
