"""How Hypothesis generates examples here: by a seed, with no database and no time limit."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings

# Hostile values are large, and many of them are refused: that is their purpose.
_EXPECTED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def build_settings(examples: int, **more: Any) -> settings:
    """Return the settings for so many examples."""
    return settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=_EXPECTED,
        report_multiple_bugs=False,
        **more,
    )


def describe_failure(place: str, number: int, error: Exception) -> str:
    """Return the error of the smallest failing example, with the example and its seed."""
    notes = "\n".join(getattr(error, "__notes__", ()))
    return f"{place}, seed {number}: {type(error).__name__}: {error}\n{notes}"
