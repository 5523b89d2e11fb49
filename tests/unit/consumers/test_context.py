"""The ids that handlers make of a message."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import ValidationError
from messagedb._consumers.context import BaseContext
from messagedb._messages.ids import derive_id
from messagedb.testing import make_message

MESSAGE = make_message("account-1", "Deposited", id="00000000-0000-4000-8000-000000000001")


def context(seed: str = "account:position-x", attempt: int = 1) -> BaseContext[None]:
    return BaseContext(MESSAGE, attempt, None, seed)


def test_an_id_is_the_same_in_every_attempt_and_release() -> None:
    made = context().derive_id("mail")
    assert made == context(attempt=2).derive_id("mail")
    assert made.version == 5
    # Stored in databases: it may never change.
    assert made == UUID("efd25e7d-dd4f-5093-bc90-479a3a20301e")


def test_another_name_message_or_consumer_gives_another_id() -> None:
    other = BaseContext(make_message("account-1", "Deposited"), 1, None, "account:position-x")
    ids = {
        context().derive_id("mail"),
        context().derive_id("payment"),
        context("account:position-y").derive_id("mail"),
        other.derive_id("mail"),
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("name", "reason"), [("a\ud800", "surrogate"), ("a\0", "NUL"), (5, "must be a str")]
)
def test_a_name_that_has_no_bytes_derives_no_id(name: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=f"name .*{reason}"):
        context().derive_id(name)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=4)
)
def test_where_texts_are_parted_matters(parts: list[str]) -> None:
    joined = derive_id("".join(parts))
    assert (derive_id(*parts) == joined) is (len(parts) == 1)
    assert derive_id(*parts) == derive_id(*parts)
