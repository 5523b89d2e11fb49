"""Which member of a group a process is, by its environment."""

from __future__ import annotations

import pytest

from messagedb import ValidationError
from messagedb.consumers import GroupMember, group_member_from_env

MEMBER, SIZE = "MESSAGEDB_GROUP_MEMBER", "MESSAGEDB_GROUP_SIZE"


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("0", 0),
        ("2", 2),
        ("02", 2),
        ("statements-0", 0),
        ("statements-2", 2),
        ("my-app-v2-1", 1),
        ("-1", 1),
    ],
)
def test_a_number_or_the_name_of_a_pod(member: str, expected: int) -> None:
    group = group_member_from_env(environ={MEMBER: member, SIZE: "3"})
    assert group == GroupMember(expected, 3)
    assert (group.member, group.size) == (expected, 3)


def test_the_process_s_own_environment_and_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "statements-11")
    monkeypatch.setenv("REPLICAS", "12")
    assert group_member_from_env(member="POD_NAME", size="REPLICAS") == (11, 12)
    monkeypatch.setenv(MEMBER, "1")
    monkeypatch.setenv(SIZE, "2")
    assert group_member_from_env() == (1, 2)


@pytest.mark.parametrize(
    ("environ", "lacking"),
    [
        ({}, f"lacks {MEMBER} and {SIZE}:"),
        ({SIZE: "3"}, f"lacks {MEMBER}:"),
        ({MEMBER: "1"}, f"lacks {SIZE}:"),
        ({MEMBER: "", SIZE: "3"}, f"lacks {MEMBER}:"),
    ],
)
def test_a_missing_variable_is_named(environ: dict[str, str], lacking: str) -> None:
    with pytest.raises(ValidationError, match=lacking):
        group_member_from_env(environ=environ)


@pytest.mark.parametrize(
    ("member", "size"),
    [
        ("statements", "3"),
        ("statements2", "3"),
        ("statements-2-abc", "3"),
        ("1.0", "3"),
        ("1", "three"),
        ("1", "-3"),
        ("1", "3.0"),
        ("1 ", "3"),
        ("3", "3"),
        ("statements-3", "3"),
        ("0", "0"),
        ("0", "32768"),
        ("1", "²"),
        ("1\n", "3"),
        ("9" * 5000, "3"),
        ("1", "9" * 5000),
    ],
)
def test_no_member_of_a_group(member: str, size: str) -> None:
    with pytest.raises(ValidationError):
        group_member_from_env(environ={MEMBER: member, SIZE: size})
