"""Reading as a class: by the class itself, by chosen classes of a registry, by the registry."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from messagedb import Message, MessageDecodeError, MessageRegistry
from messagedb._messages.message_types import MessageTypes, check_types, select_types
from messagedb.errors import ValidationError

registry = MessageRegistry()


@registry.add(aliases=["Paid"])
class Deposited(msgspec.Struct):
    amount: int


@registry.add
@dataclasses.dataclass
class Withdrawn:
    amount: int


@registry.add
class Closed(msgspec.Struct):
    pass


TYPES = registry.types(Deposited, Withdrawn)


def stored(type: str, data: str | None = '{"amount": 5}') -> Message[Any]:
    return Message(str(UUID(int=1)), "a-1", type, 3, 7, data, None, 0)


def typed_one(type: str, data: str | None = '{"amount": 5}') -> Message[Deposited | Withdrawn]:
    [message] = select_types([stored(type, data)], TYPES)
    return message


def test_chosen_classes_know_their_names() -> None:
    assert TYPES.names == ("Deposited", "Paid", "Withdrawn")
    assert TYPES.classes == (Deposited, Withdrawn)
    assert repr(TYPES) == "<MessageTypes of Deposited, Paid, Withdrawn>"
    assert stored("Paid") in TYPES
    assert stored("Closed") not in TYPES
    assert "Deposited" not in TYPES


def test_messages_of_chosen_classes_are_decoded_and_no_others() -> None:
    assert TYPES.decode(stored("Deposited")) == TYPES.decode(stored("Paid")) == Deposited(5)
    assert TYPES.decode(stored("Withdrawn")) == Withdrawn(5)
    for other in ("Closed", "Unheard"):
        with pytest.raises(MessageDecodeError, match=f"it is '{other}', not one of 'Dep") as e:
            TYPES.decode(stored(other))
        assert e.value.field == "type"
    with pytest.raises(MessageDecodeError, match=r"data\.amount"):
        TYPES.decode(stored("Withdrawn", "{}"))


def test_chosen_classes_are_registered() -> None:
    with pytest.raises(ValidationError, match="Other is not a registered"):
        registry.types(msgspec.defstruct("Other", []))
    choose: Any = registry.types
    with pytest.raises(ValidationError, match="takes at least one class"):
        choose()


def test_a_message_is_decoded_by_a_class_types_or_a_registry() -> None:
    message = stored("Withdrawn")
    assert message.decode(Withdrawn) == Withdrawn(5)
    assert message.decode(Deposited) == Deposited(5)
    assert message.decode(TYPES) == Withdrawn(5)
    assert message.decode(registry) == Withdrawn(5)
    unheard = stored("Unheard")
    assert unheard.decode(registry) is unheard
    assert stored("Closed", None).decode(Closed) == Closed()


def test_a_class_needs_no_registry_and_has_errors_of_its_own() -> None:
    @dataclasses.dataclass
    class Own:
        a: list[int]

    assert stored("X", '{"a": [1]}').decode(Own) == Own([1])
    with pytest.raises(MessageDecodeError, match=r"it does not fit .*Own \(Expected `int`") as e:
        stored("X", '{"a": [1, null]}').decode(Own)
    assert (e.value.field, e.value.position) == ("data.a[1]", 3)


class Model(pydantic.BaseModel):
    a: int


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (int, "neither a msgspec Struct nor a dataclass"),
        (Model, "or register it with a codec"),
        ("Deposited", "not str"),
        (None, "not NoneType"),
        (Deposited(5), "not Deposited"),
    ],
)
def test_decoding_as_an_invalid_class_is_refused(by: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        stored("Deposited").decode(by)


def test_a_typed_message_has_an_instance_as_its_data() -> None:
    message = typed_one("Deposited")
    assert message.data == Deposited(5)
    assert (message.id, message.stream_name, message.metadata) == (UUID(int=1), "a-1", None)
    unfit = typed_one("Deposited", '{"amount": "5"}')
    assert unfit.position == 3
    with pytest.raises(MessageDecodeError, match=r"data\.amount"):
        _ = unfit.data


def test_other_types_are_passed_over_and_without_types_nothing_changes() -> None:
    page = [stored("Closed"), stored("Paid"), stored("Unheard"), stored("Withdrawn")]
    assert [message.data for message in select_types(page, TYPES)] == [Deposited(5), Withdrawn(5)]
    assert select_types(page, None) is page


def test_a_typed_message_copies_pickles_and_compares() -> None:
    message = typed_one("Deposited")
    for again in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert again == message
        assert hash(again) == hash(message)
        assert again.data == Deposited(5)
    assert message != stored("Deposited")
    [other] = select_types([stored("Deposited")], registry.types(Deposited))
    assert other != message
    with pytest.raises(AttributeError):
        message.type = "Other"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def test_types_are_made_by_a_registry() -> None:
    check_types(None)
    check_types(TYPES)
    with pytest.raises(
        ValidationError, match=r"types must be made by registry.types\(…\), not Str"
    ):
        check_types(Deposited)
    assert isinstance(TYPES, MessageTypes)
    assert registry.types(Deposited, Withdrawn) == TYPES
    assert registry.types(Withdrawn, Deposited) != TYPES
    assert TYPES.__eq__(TYPES.classes) is NotImplemented
