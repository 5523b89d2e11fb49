"""The registry: what it takes, and that what is written as an instance reads back equal."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import ANY, Message, MessageDecodeError, MessageRegistry, NewMessage
from messagedb._operations import requests
from messagedb.errors import ValidationError
from messagedb.testing import make_message
from tests.support.json_values import decimals as decimal_values
from tests.support.json_values import numbers, texts

if TYPE_CHECKING:
    from collections.abc import Callable


class Level(Enum):
    LOW = 1
    HIGH = 2


class Deposited(msgspec.Struct, frozen=True):
    amount: int
    note: str = ""


@dataclasses.dataclass
class Opened:
    owner: str
    tags: list[str] = dataclasses.field(default_factory=list[str])


class Item(msgspec.Struct):
    price: float
    level: Level = Level.LOW
    next: Item | None = None


class Everything(msgspec.Struct):
    count: int
    share: float
    either: int | float | str | bool | None
    text: str | None
    flag: bool
    item: Item
    items: list[Item]
    pair: tuple[int, str]
    by_name: dict[str, int | None]
    free: dict[str, Any]
    at: datetime
    day: date
    hour: time
    length: timedelta
    key: UUID
    left_out: int | msgspec.UnsetType = msgspec.UNSET


@dataclasses.dataclass(frozen=True)
class Priced:
    price: Decimal
    by_name: dict[str, Decimal | None]
    free: Any
    share: float


class Identity(msgspec.Struct, eq=False):
    amount: float
    item: Item | None = None


class Loose(msgspec.Struct):
    value: Any = None
    plain: dict[str, Any] | None = None
    count: int = 0
    share: float = 0.0
    tags: list[Any] | None = None
    at: datetime | None = None


class Tidied(msgspec.Struct):
    name: str

    def __post_init__(self) -> None:
        self.name = self.name.strip()


class Missing(msgspec.Struct):
    at: NeverDefined  # type: ignore[name-defined] # noqa: F821 # pyright: ignore[reportUndefinedVariable]


@dataclasses.dataclass
class Fussy:
    amount: int

    def __post_init__(self) -> None:
        if self.amount > 9:
            raise LookupError("more than 9")


CLASSES = (Deposited, Opened, Everything, Priced, Identity, Loose, Tidied, Missing, Fussy)


@pytest.fixture
def registry() -> MessageRegistry:
    registry = MessageRegistry()
    for cls in CLASSES:
        registry.add(cls)
    return registry


def through_json(registry: MessageRegistry, instance: Any, *, decimals: bool = False) -> Any:
    """Encode as a write does, and decode what a store would give."""
    write = requests.build_message_write("a-1", instance, None, None, ANY, decimals, registry)
    return registry.decode(stored(write.encoded[0].type, write.encoded[0].data, decimals))


def stored(type: str, data: str | None, decimals: bool = False) -> Message[Any]:
    return Message(str(UUID(int=1)), "a-1", type, 3, 7, data, None, 0, decimals)


# --- registering --------------------------------------------------------------------------------


def test_a_class_has_its_name_or_another() -> None:
    registry = MessageRegistry()
    assert registry.add(Deposited) is Deposited
    assert registry.add(Opened, type="AccountOpened") is Opened
    assert registry.get_type(Deposited) == registry.get_type(Deposited(1)) == "Deposited"
    assert registry.get_type(Opened("Ada")) == "AccountOpened"
    assert registry.get_class("AccountOpened") is Opened
    assert registry.get_class("Opened") is None
    assert Deposited in registry
    assert Item not in registry
    assert "Deposited" not in registry
    assert len(registry) == 2
    assert list(registry) == [("Deposited", Deposited), ("AccountOpened", Opened)]
    assert repr(registry) == "<MessageRegistry of Deposited, AccountOpened>"


def test_it_decorates() -> None:
    registry = MessageRegistry()

    @registry.add
    class Sent(msgspec.Struct):
        to: str

    @registry.add(type="MessageReceived")
    @dataclasses.dataclass(slots=True)
    class Received:
        sender: str

    assert registry.get_type(Sent("Ada")) == "Sent"
    assert registry.get_type(Received("Ada")) == "MessageReceived"


def test_a_class_again_under_its_name_does_nothing(registry: MessageRegistry) -> None:
    before = list(registry)
    registry.add(Deposited)
    registry.add(Deposited, type="Deposited")
    assert list(registry) == before


def test_a_subclass_is_a_class_of_its_own(registry: MessageRegistry) -> None:
    class Rewarded(Deposited, frozen=True):
        pass

    with pytest.raises(ValidationError, match=r"Rewarded is not a registered .*add\(Rewarded\)"):
        registry.get_type(Rewarded(1))
    registry.add(Rewarded)
    assert registry.get_type(Rewarded(1)) == "Rewarded"


def test_a_taken_name_and_a_second_name_are_refused(registry: MessageRegistry) -> None:
    with pytest.raises(ValidationError, match=r"'Opened' belongs to .*\.Opened .* of .*\.Item as"):
        registry.add(Item, type="Opened")
    with pytest.raises(ValidationError, match=r"\.Opened is registered as 'Opened' .* 'Begun'"):
        registry.add(Opened, type="Begun")
    assert Item not in registry
    assert registry.get_class("Begun") is None


@dataclasses.dataclass
class Base:
    a: int


class Undecorated(Base):
    b: int


class Row(msgspec.Struct, array_like=True):
    a: int


class TwoTexts(msgspec.Struct):
    key: UUID | str


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (dict, "neither a msgspec Struct nor a dataclass"),
        (Level, "neither a msgspec Struct nor a dataclass"),
        (Undecorated, r"neither .* stands above @dataclass"),
        (Deposited(1), "must be a class, not Deposited"),
        ("Deposited", "must be a class, not str"),
        (list[int], "must be a class"),
        (NewMessage, "cannot be registered"),
        (Message, "cannot be registered"),
        (Row, "array_like"),
        (TwoTexts, "TwoTexts cannot be a message type: msgspec cannot read"),
    ],
)
def test_classes_that_cannot_be_message_types_are_refused(cls: Any, reason: str) -> None:
    registry = MessageRegistry()
    with pytest.raises(ValidationError, match=reason):
        registry.add(cls)
    assert len(registry) == 0


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", 5])
def test_type_names_are_those_of_messages(name: Any) -> None:
    registry = MessageRegistry()
    with pytest.raises(ValidationError, match="the type of a message"):
        registry.add(Deposited, type=name)
    assert Deposited not in registry


# --- encoding -----------------------------------------------------------------------------------


def test_an_instance_becomes_a_new_message(registry: MessageRegistry) -> None:
    key = UUID(int=5)
    message = registry.encode(Deposited(5), metadata={"a": 1}, id=str(key))
    assert message == NewMessage("Deposited", Deposited(5), metadata={"a": 1}, id=key)
    assert registry.encode(Deposited(5)).id != registry.encode(Deposited(5)).id
    with pytest.raises(ValidationError, match="Item is not a registered"):
        registry.encode(Item(1.0))
    with pytest.raises(ValidationError, match="UUID"):
        registry.encode(Deposited(5), id="no")


def test_a_registered_instance_can_be_written_where_a_new_message_can(
    registry: MessageRegistry,
) -> None:
    key = UUID(int=5)
    one = requests.build_message_write("a-1", Deposited(5), key, {"m": 1}, ANY, False, registry)
    encoded = one.encoded[0]
    assert encoded == requests.EncodedMessage(
        str(key), "Deposited", '{"amount":5,"note":""}', '{"m":1}'
    )
    around = [NewMessage("Deposited", Deposited(1)), Opened("Ada"), NewMessage("Raw", {"a": 1})]
    many = requests.build_batch_write("a-1", around, ANY, False, registry)
    assert [message.type for message in many.encoded] == ["Deposited", "Opened", "Raw"]
    assert all(type(message) is NewMessage for message in many.messages)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (Item(1.0), r"not Item: pass NewMessage\(.*\), or register .* client.registry.add\(Item\)"),
        (Base(1), r"not Base: .* client.registry.add\(Base\)"),
        (Base, r"not type: .* or an instance of the class"),
        ({"amount": 5}, r"not dict: pass NewMessage\(.* a class in the client's registry"),
        (stored("Deposited", "{}"), r"not Message: convert it"),
    ],
)
def test_other_values_are_refused_with_how_to_register(
    registry: MessageRegistry, message: Any, advice: str
) -> None:
    with pytest.raises(ValidationError, match=advice):
        requests.build_message_write("a-1", message, None, None, ANY, False, registry)
    with pytest.raises(ValidationError, match=r"messages\[1\] must be a NewMessage, " + advice):
        requests.build_batch_write("a-1", [Deposited(1), message], ANY, False, registry)


# --- what is written reads back -----------------------------------------------------------------

JSON_NUMBERS = numbers()
ITEMS = st.recursive(
    st.builds(
        Item,
        price=st.floats(allow_nan=False, allow_infinity=False),
        level=st.sampled_from(Level),
        next=st.none(),
    ),
    lambda inner: st.builds(Item, price=st.just(1e16), next=inner),
    max_leaves=4,
)
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=st.one_of(st.none(), st.just(UTC), OFFSETS))
FREE = st.dictionaries(
    texts(), st.one_of(st.none(), st.booleans(), JSON_NUMBERS, texts(), st.lists(JSON_NUMBERS))
)
EVERYTHING = st.builds(
    Everything,
    count=st.integers(),
    share=st.floats(allow_nan=False, allow_infinity=False),
    either=st.one_of(st.none(), st.booleans(), JSON_NUMBERS, texts()),
    text=st.one_of(st.none(), texts()),
    flag=st.booleans(),
    item=ITEMS,
    items=st.lists(ITEMS, max_size=3),
    pair=st.tuples(st.integers(), texts()),
    by_name=st.dictionaries(texts(), st.one_of(st.none(), st.integers()), max_size=3),
    free=FREE,
    at=MOMENTS,
    day=st.dates(),
    hour=st.times(timezones=st.one_of(st.none(), st.just(UTC), OFFSETS)),
    length=st.timedeltas(),
    key=st.uuids(),
    left_out=st.one_of(st.just(msgspec.UNSET), st.integers()),
)
PRICED = st.builds(
    Priced,
    price=decimal_values(),
    by_name=st.dictionaries(texts(), st.one_of(st.none(), decimal_values()), max_size=3),
    free=st.one_of(st.none(), decimal_values(), st.integers()),
    share=st.floats(allow_nan=False, allow_infinity=False),
)


@given(EVERYTHING)
def test_every_instance_reads_back_equal(instance: Everything) -> None:
    registry = MessageRegistry()
    registry.add(Everything)
    assert through_json(registry, instance) == instance


@given(PRICED)
def test_decimals_read_back_with_all_digits(instance: Priced) -> None:
    registry = MessageRegistry()
    registry.add(Priced)
    assert through_json(registry, instance, decimals=True) == instance


def test_a_decimal_field_reads_all_digits_with_any_client(registry: MessageRegistry) -> None:
    text = '{"price":1.10000000000000000000000000001,"by_name":{},"free":1.5,"share":1}'
    for decimals in (False, True):
        read = registry.decode(stored("Priced", text, decimals))
        assert str(read.price) == "1.10000000000000000000000000001"
        assert type(read.free) is (Decimal if decimals else float)
        assert type(read.share) is float


def test_classes_that_compare_by_identity_are_compared_by_their_fields(
    registry: MessageRegistry,
) -> None:
    read = through_json(registry, Identity(1.5, Item(2.0)))
    assert (read.amount, read.item) == (1.5, Item(2.0))
    around = through_json(registry, Identity(0.5, Item(0.25, next=Item(1e300))))
    assert around.item.next.price == 1e300
    with pytest.raises(ValidationError, match=r"^data\.amount is of type int and .* as float"):
        through_json(registry, Identity(2**53 + 1))


def test_a_time_that_a_change_of_the_clock_repeats_is_one_moment(registry: MessageRegistry) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for fold in (0, 1):
        at = datetime(2020, 10, 25, 2, 30, tzinfo=berlin, fold=fold)
        assert through_json(registry, Loose(at=at)).at.astimezone(UTC) == at.astimezone(UTC)


def test_floats_of_untyped_fields_are_decimals_for_clients_with_decimals(
    registry: MessageRegistry,
) -> None:
    assert through_json(registry, Loose({"a": [0.1]}), decimals=True).value == {
        "a": [Decimal("0.1")]
    }


NO_FIT: list[tuple[Any, str]] = [
    (Deposited("5"), r"^data\.amount does not fit Deposited .*: Expected `int`, got `str`\. Use"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    (Deposited(True), r"Expected `int`, got `bool`"),
    (Opened(None), r"Expected `str`, got `null`"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    (Loose(count=1.0), r"Expected `int`, got `float`"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    (Loose(value=(1, 2)), r"^data\.value is of type tuple and would read back as list: use"),
    (Loose(value=date(2020, 1, 1)), r"^data\.value is of type date and would read back as str"),
    (Loose(value=Level.LOW), r"^data\.value is of type Level and would read back as int"),
    (Loose(value=Item(1.0)), r"^data\.value is of type Item and would read back as dict"),
    (Loose(plain={"a": [1, UUID(int=1)]}), r"^data\.plain\['a'\]\[1\] is of type UUID"),
    (Loose(share=2**53 + 1), r"^data\.share is of type int and would read back as float"),
    (Loose(tags=[(1,)]), r"^data\.tags\[0\] is of type tuple"),
    (
        Loose(at=datetime(1800, 1, 1, tzinfo=timezone(timedelta(seconds=3208)))),
        r"^data\.at would not be equal to the written datetime",
    ),
    (Missing(1), r"would fail to decode: name 'NeverDefined' is not defined"),
    (Priced(Decimal(1), {}, None, 1.0), r"^data\.price is a Decimal"),
    (Loose(value=float("nan")), r"^data\.value is nan"),
    (Loose(value=b"a"), r"^data\.value is bytes"),
    (Loose(value={1, 2}), r"^data\.value is a set"),
    (Loose(value={1: 2}), r"^data\.value is a mapping with the key 1 of type int"),
    (Loose(value="a\0"), r"^data\.value contains a NUL"),
]


@pytest.mark.parametrize(("instance", "reason"), NO_FIT)
def test_instances_that_would_not_read_back_are_refused(
    registry: MessageRegistry, instance: Any, reason: str
) -> None:
    message = registry.encode(instance)
    for given_ in (instance, message):
        with pytest.raises(ValidationError, match=reason):
            requests.build_message_write("a-1", given_, None, None, ANY, False, registry)
    batch = [Deposited(1), instance]
    with pytest.raises(ValidationError, match=r"^messages\[1\]\.data"):
        requests.build_batch_write("a-1", batch, ANY, False, registry)


def test_values_that_the_class_changes_are_refused(registry: MessageRegistry) -> None:
    tidied = Tidied("a")
    assert through_json(registry, tidied) == tidied
    tidied.name = " a "
    with pytest.raises(ValidationError, match=r"^data\.name would not be equal to the written str"):
        through_json(registry, tidied)


def test_data_under_another_type_is_not_held_against_the_class(registry: MessageRegistry) -> None:
    other = NewMessage("Other", Deposited("5"))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    raw = NewMessage("Deposited", {"amount": "5"})
    write = requests.build_batch_write("a-1", [other, raw], ANY, False, registry)
    assert [message.data for message in write.encoded] == [
        '{"amount":"5","note":""}',
        '{"amount":"5"}',
    ]


# --- decoding -----------------------------------------------------------------------------------


def test_an_unknown_type_arrives_raw(registry: MessageRegistry) -> None:
    message = stored("Unheard", '{"a":1}')
    assert registry.decode(message) is message


@pytest.mark.parametrize(
    ("type", "data", "expected"),
    [
        ("Deposited", '{"later": [1], "amount": 5}', Deposited(5)),
        ("Opened", '{"owner": "Ada"}', Opened("Ada")),
        ("Loose", None, Loose()),
        ("Loose", "{}", Loose()),
    ],
)
def test_missing_fields_have_defaults_and_other_keys_are_passed_over(
    registry: MessageRegistry, type: str, data: str | None, expected: Any
) -> None:
    assert registry.decode(stored(type, data)) == expected


@pytest.mark.parametrize(
    ("message", "field", "reason", "cause"),
    [
        (stored("Deposited", '{"amount": "5"}'), ".amount", "`int`, got `str`)", ValueError),
        (stored("Deposited", "{}"), ".amount", "required field `amount`)", ValueError),
        (stored("Deposited", None), ".amount", "required field `amount`)", ValueError),
        (stored("Deposited", "null"), "", "got `null`", ValueError),
        (stored("Deposited", "[1]"), "", "got `array`", ValueError),
        (stored("Deposited", '{"amount"'), "", "truncated", ValueError),
        (stored("Identity", '{"amount":1,"item":{}}'), ".item.price", "`price`)", ValueError),
        (stored("Loose", '{"tags":1}'), ".tags", "`array | null`, got `int`)", ValueError),
        (stored("Opened", '{"owner":"A","tags":[1]}'), ".tags[0]", "got `int`)", ValueError),
        (stored("Loose", '{"value":' + "[" * 99_999 + "]" * 99_999 + "}"), "", "", RecursionError),
        (stored("Fussy", '{"amount": 10}'), "", "more than 9", LookupError),
        (stored("Missing", "{}"), "", "NeverDefined", NameError),
    ],
)
def test_data_that_does_not_fit_is_an_error_of_this_message(
    registry: MessageRegistry,
    message: Message[Any],
    field: str,
    reason: str,
    cause: type[Exception],
) -> None:
    with pytest.raises(MessageDecodeError) as caught:
        registry.decode(message)
    error = caught.value
    text = str(error)
    assert text.startswith(
        f"the data{field} of message 3 in stream 'a-1' (global position 7) cannot be decoded: "
    )
    assert error.field == "data" + field
    assert f"it does not fit {message.type} (" in text
    assert reason in text
    assert isinstance(error.__cause__, cause)
    assert (error.stream_name, error.position, error.global_position) == ("a-1", 3, 7)
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_made_messages_are_decoded_too(registry: MessageRegistry) -> None:
    make: Callable[..., Message[Any]] = make_message
    assert registry.decode(make("a-1", "Deposited", Deposited(5))) == Deposited(5)
