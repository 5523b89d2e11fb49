"""The command ``consume``: the consumers of the site, in a separate process."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from messagedb import Client, run_consumers

from ...consumers import counting


class Command(BaseCommand):
    """Runs until SIGTERM or Ctrl-C, which let the current message be finished."""

    help = "Handle the messages of accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the option for the time to run."""
        parser.add_argument("--until-caught-up", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the consumers."""
        with Client(settings.MESSAGEDB_URL) as client:
            run_consumers(
                counting(client), until="caught_up" if options["until_caught_up"] else None
            )
