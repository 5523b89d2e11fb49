"""The SQL files of this package, with the schema's name inserted."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

from .._sql.statements import quoted

_PACKAGE: Final = "messagedb._schema"
_PLACEHOLDER: Final = re.compile("@schema@|@schema_text@")


def load_sql(name: str, schema: str) -> str:
    """Return the SQL of one file for a schema."""
    text = resources.files(_PACKAGE).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    name_of_schema = quoted(schema)
    # The second form is inside a string literal.
    forms = {
        "@schema@": name_of_schema,
        "@schema_text@": name_of_schema.replace("'", "''"),
    }
    return _PLACEHOLDER.sub(lambda found: forms[found[0]], text)
