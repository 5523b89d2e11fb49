"""Fixtures of the cases of read models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests._async.model_schemas import ModelSchema


@pytest.fixture
def model_schema(database_url: str, category: str) -> Iterator[ModelSchema]:
    """Return a schema of the test's own that the role message_store may use."""
    model_schema = ModelSchema(database_url, category.lower())
    yield model_schema
    model_schema.execute(f"DROP SCHEMA {model_schema.schema} CASCADE")
    model_schema.admin.close()
