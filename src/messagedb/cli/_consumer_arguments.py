"""The arguments that name a consumer."""

from __future__ import annotations

from typing import Annotated

import typer

from ._complete import complete_consumed_category, complete_identifier

Category = Annotated[
    str,
    typer.Argument(
        help="The category that the consumer reads.", autocompletion=complete_consumed_category
    ),
]
Identifier = Annotated[
    str,
    typer.Argument(
        help="The consumer's identifier; - for a consumer without one.",
        autocompletion=complete_identifier,
    ),
]


def normalize_identifier(identifier: str) -> str | None:
    """Return the identifier, or None for ``-``."""
    return None if identifier == "-" else identifier
