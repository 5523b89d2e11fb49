"""The options of consumers: names made of them, and what is refused."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import messagedb
from messagedb import (
    AllConsumer,
    Client,
    Consumer,
    RetryPolicy,
    StreamPositionStore,
    TablePositionStore,
    ValidationError,
    consumers,
    read_models,
)
from messagedb._consumers import settings_checks
from messagedb._consumers.settings import ConsumerSettings
from messagedb._subscriptions.validation import as_name_tuple, check_start


def settings_of(consumer: Consumer | AllConsumer) -> ConsumerSettings:
    settings: ConsumerSettings = vars(consumer)["_settings"]
    return settings


def make(**options: Any) -> ConsumerSettings:
    return settings_of(Consumer(Client(), options.pop("category", "account"), **options))


def test_names_of_a_consumer() -> None:
    alone = make(category="account:command", identifier="x")
    assert alone.position_name == "account:command+position-x"
    assert alone.parked_stream == "account:command+parked-x"
    member = make(identifier="x", group_member=1, group_size=3)
    assert member.position_name == "account:position-x+1+3"
    assert member.build_position_name(2, 4) == "account:position-x+2+4"
    # What members of a group have in common, of whatever size.
    other = make(identifier="x", group_member=0, group_size=2)
    assert member.parked_stream == other.parked_stream == "account:parked-x"
    assert member.id_namespace == other.id_namespace == make(identifier="x").id_namespace
    assert make(identifier="y").id_namespace != member.id_namespace
    whole = settings_of(AllConsumer(Client(), identifier="x"))
    assert whole.position_name == "all:position-x"
    assert whole.parked_stream == "all:parked-x"


def test_a_name_that_was_given_is_taken_as_it_is() -> None:
    for store in (StreamPositionStore(stream_name="mine-1"), TablePositionStore(name="mine-1")):
        given = make(identifier="x", position_store=store)
        assert given.position_name == "mine-1"
        assert given.id_namespace == "account:position-x"
    assert make(position_store=TablePositionStore()).position_name == "account:position"


OPTIONS: list[Any] = [
    consumers.CommonOptions,
    consumers.AllConsumerOptions,
    consumers.ConsumerOptions,
    read_models.ReadModelOptions,
]


def test_documented_defaults_are_the_defaults() -> None:
    documented: dict[str, str] = {}
    for options in OPTIONS:
        # Behind the example.
        text = (inspect.getdoc(options) or "").partition("Attributes:")[2]
        for name, about in re.findall(r"^ {4}(\w+): (.*?)(?=^ {4}\w|\Z)", text, re.M | re.S):
            found = re.search(r"Default:\s+``(.*?)``", about)
            assert found is not None, name
            documented[name] = found[1]
    assert documented.keys() == consumers.ConsumerOptions.__optional_keys__
    given = make()
    for name, default in documented.items():
        assert eval(default, dict(vars(messagedb))) == getattr(given, name), name


def test_an_unknown_option_is_an_error_as_python_raises_it() -> None:
    unknown: Any = {"batch": 1}
    with pytest.raises(
        TypeError, match=r"Consumer.__init__\(\) got an unexpected keyword argument 'batch'"
    ):
        Consumer(Client(), "account", **unknown)
    of_groups: Any = {"group_size": 1}
    with pytest.raises(TypeError, match="unexpected keyword argument 'group_size'"):
        AllConsumer(Client(), identifier="x", **of_groups)


def test_the_defaults_are_eventide_s_where_it_has_any() -> None:
    given = make()
    assert (given.batch_size, given.poll_interval, given.position_update_interval) == (
        1000,
        0.1,
        100,
    )
    assert (given.start, given.on_error, given.retry) == ("stored", "stop", RetryPolicy())
    assert given.position_store == StreamPositionStore()


def test_scans_of_the_whole_store_save_rarely() -> None:
    assert make(position_update_interval=5).scan_save_interval == 5
    for interval, expected in ((1, 1000), (5000, 5000)):
        whole = AllConsumer(Client(), identifier="x", position_update_interval=interval)
        assert settings_of(whole).scan_save_interval == expected


def test_one_member_gets_the_streams_without_an_id() -> None:
    group: dict[str, Any] = {"identifier": "x", "group_size": 2, "streams_without_id": 1}
    assert not make(group_member=0, **group).has_streams_without_id
    assert make(group_member=1, **group).has_streams_without_id
    assert not make().has_streams_without_id


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"category": "account-1"}, "category"),
        ({"category": ""}, "category"),
        ({"identifier": ""}, "identifier"),
        ({"group_member": 0, "group_size": 2}, "needs an identifier"),
        ({"identifier": "x", "group_size": 2}, "group_member"),
        ({"identifier": "x", "group_member": 2, "group_size": 2}, "group_member"),
        ({"streams_without_id": 0}, "streams_without_id"),
        (
            {"identifier": "x", "group_member": 0, "group_size": 2, "streams_without_id": 2},
            "streams_without_id",
        ),
        ({"start": "now"}, "start"),
        ({"start": -1}, "start"),
        ({"start": True}, "start"),
        ({"start": None}, "start"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"position_update_interval": 0}, "position_update_interval"),
        ({"concurrency": 0}, "concurrency"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"idle_poll_interval": -1}, "idle_poll_interval"),
        ({"position_update_seconds": "1"}, "position_update_seconds"),
        ({"transaction_timeout": 0}, "transaction_timeout"),
        ({"transaction_size": 0, "transactional": True}, "transaction_size must be an integer"),
        ({"transaction_size": True, "transactional": True}, "transaction_size"),
        ({"transaction_size": 10}, r"transaction_size \(10\) .* pass transactional=True, too"),
        ({"transaction_size": 10, "transactional": True, "concurrency": 2}, "concurrency"),
        ({"write_categories": ["a"]}, "write_categories .* pass transactional=True, too"),
        ({"write_categories": ["a-1"], "transactional": True}, "write_categories"),
        ({"write_categories": "a", "transactional": True}, r"give \['a'\]"),
        ({"lease_timeout": 0}, "lease_timeout"),
        ({"correlation": "origin-1"}, "correlation"),
        ({"condition": 5}, "condition"),
        ({"types": "A"}, r"give \['A'\]"),
        ({"types": []}, "must not be empty"),
        ({"types": 5}, "types"),
        ({"types": [5]}, "type"),
        ({"transactional": "yes"}, "transactional"),
        ({"notify": None}, "notify"),
        ({"transactional": True, "concurrency": 2}, "concurrency"),
        ({"position_store": "table"}, "position_store"),
        ({"position_store": StreamPositionStore(stream_name="")}, "stream_name"),
        ({"retry": 5}, "retry"),
        ({"on_error": "retry"}, "on_error"),
        ({"on_error": None}, "on_error"),
        ({"middleware": [5]}, "middleware"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        make(**options)


def test_a_consumer_of_several_categories_is_named() -> None:
    unnamed: Any = None
    with pytest.raises(ValidationError, match="needs an identifier"):
        AllConsumer(Client(), identifier=unnamed)
    for wrong, text in (("account", "give"), ([], "empty"), (["account-1"], "categor")):
        with pytest.raises(ValidationError, match=text):
            AllConsumer(Client(), wrong, identifier="x")


def test_names_are_any_iterable_of_them() -> None:
    assert as_name_tuple("names", None) is None
    assert as_name_tuple("names", iter(["a", "b"])) == ("a", "b")


@pytest.mark.parametrize("start", ["stored", "beginning", "end", 0, 1, 2**63 - 1])
def test_where_a_consumer_may_start(start: Any) -> None:
    check_start(start)


def test_every_option_is_checked() -> None:
    checked = {name for name, _ in settings_checks.OPTION_CHECKS}
    together = {"identifier", "group_member", "group_size", "streams_without_id"}
    assert not checked & together
    # The last one is no option, but set for each partition.
    everything = checked | together | {"partition_timeout"}
    assert everything == set(ConsumerSettings.__struct_fields__)
    for name in checked - {"category", "categories", "types", "middleware", "write_categories"}:
        with pytest.raises(ValidationError, match=name):
            make(**{name: object()})
    for name in together:
        with pytest.raises(ValidationError, match=name):
            make(**{"identifier": "x", "group_size": 2, "group_member": 0, name: object()})
