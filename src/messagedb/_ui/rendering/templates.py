"""The templates, which escape every value."""

from __future__ import annotations

from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined

from . import texts


def load_templates() -> Environment:
    """Return the templates with their filters."""
    environment = Environment(
        loader=PackageLoader("messagedb._ui"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast("Any", environment).filters
    filters.update(
        {
            "number": texts.format_number,
            "estimate": texts.format_estimate,
            "size": texts.format_size,
            "rate": texts.format_rate,
            "ago": texts.format_ago,
            "duration": texts.format_duration,
            "time": texts.format_time,
            "iso": texts.format_iso,
            "shown": texts.make_visible,
            "hue": texts.get_hue,
            "code": texts.split_code,
        }
    )
    return environment
