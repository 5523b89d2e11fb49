"""Classes with a codec, above all pydantic's models, and aliases of message types."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from messagedb import ANY, Message, MessageDecodeError, MessageRegistry, NewMessage
from messagedb._messages.codecs import MessageCodec, PydanticCodec
from messagedb._operations import requests
from messagedb.errors import ValidationError


class Line(pydantic.BaseModel):
    price: Decimal
    note: str | None = None


class Ordered(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)

    order_id: UUID = pydantic.Field(alias="orderId")
    at: datetime
    total: Decimal
    lines: list[Line] = []
    share: float = 0.5


class Loose(pydantic.BaseModel):
    value: Any = None


class Extra(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class TwoNames(pydantic.BaseModel):
    a: int = pydantic.Field(validation_alias="in", serialization_alias="out")


class Box(pydantic.BaseModel, extra="forbid"):
    width: int
    tags: pydantic.Json[list[str]]

    @pydantic.computed_field
    def area(self) -> int:
        return self.width**2


class Boxes(pydantic.BaseModel, extra="forbid"):
    boxes: list[Box]
    secret: str = pydantic.Field(default="", exclude=True)

    @pydantic.computed_field
    def count(self) -> int:
        return len(self.boxes)


class Point:
    """Neither a Struct nor a dataclass."""

    def __init__(self, x: int, y: int) -> None:
        self.x = x
        self.y = y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class PointCodec:
    def encode(self, instance: Any, /) -> Mapping[str, Any]:
        return {"at": [instance.x, instance.y]}

    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        x, y = data["at"]
        return cls(x, y)


ORDER = Ordered(
    orderId=UUID(int=5),
    at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    total=Decimal("1.10"),
    lines=[Line(price=Decimal("0.30"))],
)


@pytest.fixture
def registry() -> MessageRegistry:
    registry = MessageRegistry()
    for cls in (Ordered, Loose, Extra, TwoNames, Boxes):
        registry.add(cls, codec=PydanticCodec())
    registry.add(Point, codec=PointCodec())
    return registry


def through_json(registry: MessageRegistry, instance: Any, *, decimals: bool = False) -> Any:
    write = requests.build_message_write("a-1", instance, None, None, ANY, decimals, registry)
    return registry.decode(stored(write.encoded[0].type, write.encoded[0].data, decimals))


def stored(type: str, data: str | None, decimals: bool = False) -> Message[Any]:
    return Message(str(UUID(int=1)), "a-1", type, 3, 7, data, None, 0, decimals)


# --- codecs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [False, True])
@pytest.mark.parametrize("instance", [ORDER, Loose(value=["a", {"b": None}]), Point(1, 2)])
def test_instances_read_back_equal(
    registry: MessageRegistry, instance: Any, decimals: bool
) -> None:
    read = through_json(registry, instance, decimals=decimals)
    assert read == instance
    assert type(read) is type(instance)


def test_a_model_is_stored_as_what_it_is_made_of_and_not_as_what_it_computes(
    registry: MessageRegistry,
) -> None:
    boxes = Boxes(boxes=[Box.model_validate({"width": 2, "tags": '["a"]'})])
    assert through_json(registry, boxes) == boxes
    [encoded] = requests.build_message_write("a-1", boxes, None, None, ANY, False, registry).encoded
    data = msgspec.json.decode(encoded.data or "")
    assert data == {"boxes": [{"width": 2, "tags": '["a"]'}]}
    hidden = boxes.model_copy(update={"secret": "x"})
    with pytest.raises(
        ValidationError, match=r"^data\.secret would not be equal to the written str"
    ):
        through_json(registry, hidden)


def test_models_are_stored_under_their_aliases(registry: MessageRegistry) -> None:
    message = registry.encode(ORDER)
    assert message.type == "Ordered"
    [encoded] = requests.build_message_write(
        "a-1", message, None, None, ANY, False, registry
    ).encoded
    assert msgspec.json.decode(encoded.data or "") == {
        "orderId": "00000000-0000-0000-0000-000000000005",
        "at": "2026-01-02T03:04:05.678901Z",
        "total": "1.10",
        "lines": [{"price": "0.30", "note": None}],
        "share": 0.5,
    }


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (
            Ordered.model_construct(order_id=UUID(int=5), at=5, total=Decimal(1)),
            r"^data\.at .*would read back",
        ),
        (Loose(value=(1, 2)), r"^data\.value is of type tuple and would read back as list"),
        (Loose(value=Decimal(1)), r"^data\.value is of type Decimal and would read back as str"),
        (
            Loose(value=float("nan")),
            r"^data\.value is of type float and would read back as NoneType",
        ),
        (Loose(value="a\0"), r"^data\.value contains a NUL"),
        (Extra(at=datetime(2020, 1, 1)), r"^data would not be equal to the written Extra"),  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
        (TwoNames(**{"in": 1}), r"^data\.in does not fit TwoNames .*: data\.in: Field required"),
        (Loose(value=object()), r"^data could not be encoded by PydanticCodec"),
        (Point("1", 2), None),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ],
)
def test_codec_instances_that_would_not_read_back_are_refused(
    registry: MessageRegistry, instance: Any, reason: str | None
) -> None:
    if reason is None:
        assert through_json(registry, instance) == instance
        return
    with pytest.raises(ValidationError, match=reason) as caught:
        through_json(registry, instance)
    assert str(caught.value).endswith("Nothing was sent.")


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        (
            stored("Ordered", '{"orderId": "x", "at": "2020-01-01", "total": 1, "lines": [{}]}'),
            "data.orderId",
            r"data\.orderId: Input .*; data\.lines\[0\]\.price: Field required\)",
        ),
        (stored("Ordered", None), "data.orderId", r"data\.at: Field required"),
        (stored("Ordered", "[1]"), "data", r"Expected an object, got list"),
        (stored("Ordered", '{"a'), "data", r"not JSON"),
        (stored("Point", "{}"), "data", r"it does not fit Point \('at'\)"),
    ],
)
def test_data_that_does_not_fit_names_the_fields_and_not_the_values(
    registry: MessageRegistry, message: Message[Any], field: str, reason: str
) -> None:
    with pytest.raises(MessageDecodeError, match=reason) as caught:
        registry.decode(message)
    assert caught.value.field == field
    assert "'x'" not in str(caught.value)
    assert "https://" not in str(caught.value)
    assert caught.value.__cause__ is not None


class WrongCodec:
    def encode(self, instance: Any, /) -> Any:
        return [instance.x]

    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        return data


def test_a_codec_gives_mappings_and_instances() -> None:
    registry = MessageRegistry()
    registry.add(Point, codec=WrongCodec())
    with pytest.raises(ValidationError, match=r"encoded by WrongCodec as list: .*return a mapping"):
        through_json(registry, Point(1, 2))
    with pytest.raises(MessageDecodeError, match="WrongCodec decoded it as dict"):
        registry.decode(stored("Point", "{}"))


class Strange(Exception):
    def errors(self) -> list[str]:
        return ["of another library"]


class StrangeCodec(PointCodec):
    def decode(self, cls: type[Any], data: dict[str, Any], /) -> Any:
        raise Strange("it is strange")


def test_errors_of_any_kind_are_told() -> None:
    registry = MessageRegistry()
    registry.add(Point, codec=StrangeCodec())
    with pytest.raises(MessageDecodeError, match=r"does not fit Point \(it is strange\)") as caught:
        registry.decode(stored("Point", "{}"))
    assert isinstance(caught.value.__cause__, Strange)


def test_classes_without_a_codec_are_told_of_it() -> None:
    registry = MessageRegistry()
    with pytest.raises(ValidationError, match=r"Loose is neither .* codec=PydanticCodec\(\)"):
        registry.add(Loose)
    with pytest.raises(ValidationError, match="must be a class"):
        registry.add(5, codec=PydanticCodec())  # type: ignore[call-overload] # pyright: ignore
    assert len(registry) == 0


def test_a_codec_goes_before_msgspec() -> None:
    class Struct(msgspec.Struct):
        x: int
        y: int

    codec: MessageCodec = PointCodec()
    registry = MessageRegistry()
    assert registry.add(codec=codec)(Struct) is Struct
    [encoded] = requests.build_message_write(
        "a-1", Struct(1, 2), None, None, ANY, False, registry
    ).encoded
    assert encoded.data == '{"at":[1,2]}'
    assert registry.decode(stored("Struct", encoded.data)) == Struct(1, 2)


def test_models_have_versions_and_upcasters_too() -> None:
    registry = MessageRegistry()
    registry.add(Line, version=2, codec=PydanticCodec())
    registry.upcaster(Line, lambda data: {"price": data["cents"] / 100}, from_version=1)
    assert registry.decode(stored("Line", '{"cents": 150}')) == Line(price=Decimal("1.5"))


def test_under_another_type_name_a_model_is_still_encoded(registry: MessageRegistry) -> None:
    other = NewMessage("Other", Loose(value=(1, 2)))
    [encoded] = requests.build_message_write("a-1", other, None, None, ANY, False, registry).encoded
    assert (encoded.type, encoded.data) == ("Other", '{"value":[1,2]}')


# --- aliases and registering again --------------------------------------------------------------


class Deposited(msgspec.Struct):
    amount: int


def test_an_alias_is_read_and_never_written() -> None:
    registry = MessageRegistry()
    registry.add(Deposited, aliases=("MoneyDeposited", "Deposit", "Deposit"))
    for name in ("Deposited", "MoneyDeposited", "Deposit"):
        assert registry.decode(stored(name, '{"amount": 5}')) == Deposited(5)
        assert registry.get_class(name) is Deposited
    assert registry.encode(Deposited(5)).type == registry.get_type(Deposited) == "Deposited"
    assert registry.get_type_names(Deposited) == ("Deposited", "MoneyDeposited", "Deposit")
    assert list(registry) == [("Deposited", Deposited)]
    assert (len(registry), repr(registry)) == (1, "<MessageRegistry of Deposited>")


def test_aliases_that_clash_are_refused() -> None:
    registry = MessageRegistry()
    registry.add(Deposited, aliases=["Paid"])
    other: Any
    for name, aliases in (("Paid", []), ("New", ["Paid"]), ("New", ["Deposited"])):
        other = msgspec.defstruct("Other", [])
        with pytest.raises(ValidationError, match=r"belongs to .*\.Deposited and cannot be"):
            registry.add(other, type=name, aliases=aliases)
    other = msgspec.defstruct("Other", [])
    with pytest.raises(ValidationError, match="'Other' is the message type itself"):
        registry.add(other, aliases=["Other"])
    with pytest.raises(ValidationError, match="aliases must be a list"):
        registry.add(other, aliases="Others")
    with pytest.raises(ValidationError, match="type of a message must not be empty"):
        registry.add(other, aliases=[""])
    assert len(registry) == 1
    assert registry.get_class("New") is None


def test_a_class_again_with_something_else_is_refused() -> None:
    registry = MessageRegistry()
    codec = PointCodec()
    registry.add(Point, version=1, aliases=["Spot"], codec=codec)
    registry.add(Point)
    registry.add(Point, version=1, aliases=["Spot"], codec=codec)
    changes: tuple[dict[str, Any], ...] = (
        {"version": 2},
        {"aliases": ["Place"]},
        {"codec": PydanticCodec()},
    )
    for change in changes:
        with pytest.raises(ValidationError, match=f"with {next(iter(change))}=.* register it once"):
            registry.add(Point, **change)
    assert registry.get_type_names(Point) == ("Point", "Spot")


def test_a_registry_pickles() -> None:
    registry = MessageRegistry()
    registry.add(Deposited, version=2, aliases=["Paid"])
    registry.upcaster(Deposited, double, from_version=1)
    registry.add(Line, codec=PydanticCodec())
    again: MessageRegistry = pickle.loads(pickle.dumps(registry))
    again.check()
    assert again.decode(stored("Paid", '{"amount": 5}')) == Deposited(10)
    assert again.decode(stored("Line", '{"price": 5}')) == Line(price=Decimal(5))


def double(data: dict[str, Any]) -> dict[str, Any]:
    return {"amount": data["amount"] * 2}
