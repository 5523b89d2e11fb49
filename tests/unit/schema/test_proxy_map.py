"""The map of several nodes, and the statements of the proxying database, from facts alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from messagedb._schema import proxy_plan
from messagedb._schema.proxy_map import (
    SLOTS,
    find_exceptions,
    get_slot,
    give_slots,
    place_categories,
    share_slots,
)
from messagedb._schema.proxy_plan import ProxyFacts, ProxyNode
from messagedb.errors import IncompatibleServerError, ValidationError
from tests.unit.schema.test_plan import facts

FRESH = ProxyFacts(
    is_available=True, has_extension=False, has_map=False, has_server=False, has_login=False
)
NODES = [ProxyNode(0, "a", "host=one"), ProxyNode(1, "b", "host=two")]


def plan(proxy: ProxyFacts = FRESH, password: str | None = None, **changes: Any) -> str:
    texts = proxy_plan.plan_proxy(facts(**changes), proxy, NODES, "message_store", password)
    return "\n".join(texts)


def test_each_node_gets_the_same_share() -> None:
    slots = share_slots(1)
    for node in range(1, 40):
        before, slots = slots, give_slots(slots, node)
        counts = Counter(slots)
        assert len(slots) == SLOTS
        assert max(counts.values()) - min(counts.values()) <= 1
        # Only the new node gets any.
        assert all(new in (old, node) for old, new in zip(before, slots, strict=True))


def test_a_category_with_messages_stays_where_it_is() -> None:
    slots = share_slots(2)
    places = {f"c{number}": slots[get_slot(f"c{number}")] for number in range(200)}
    assert find_exceptions(places, slots, {}) == {}
    more = give_slots(slots, 2)
    exceptions = find_exceptions(places, more, {})
    assert 40 < len(exceptions) < 90
    for category, node in places.items():
        assert exceptions.get(category, more[get_slot(category)]) == node
    known = dict(list(exceptions.items())[:10])
    assert find_exceptions(places, more, known).keys() == exceptions.keys() - known.keys()


def test_a_category_on_two_nodes_is_refused() -> None:
    assert place_categories({0: ["a", "b"], 1: ["c"]}) == {"a": 0, "b": 0, "c": 1}
    with pytest.raises(IncompatibleServerError, match="on two nodes: 'a', 'b'") as refused:
        place_categories({0: ["a", "b"], 1: ["c", "b", "a"]})
    assert "Nothing was changed" in str(refused.value)
    names = [f"c{number}" for number in range(9)]
    with pytest.raises(IncompatibleServerError, match="'c4' and 4 more"):
        place_categories({0: names, 1: names})


def test_the_address_of_a_node_has_no_login() -> None:
    address = proxy_plan.build_address("postgresql://owner:secret@db1:5433/store?sslmode=require")
    assert "secret" not in address
    assert "owner" not in address
    for part in ("host=db1", "port=5433", "dbname=store", "sslmode=require", "connect_timeout=5"):
        assert part in address
    assert "connect_timeout=9" in proxy_plan.build_address("host=x connect_timeout=9")


def test_the_proxying_server_gets_no_option_that_an_older_libpq_refuses() -> None:
    if psycopg.pq.version() < 170000:
        pytest.skip("the libpq here does not know the options, either")
    url = (
        "postgresql://db1/store?sslnegotiation=direct&sslcertmode=disable&load_balance_hosts=random"
        "&require_auth=&service=&sslmode=verify-full&target_session_attrs=read-write"
    )
    parts = conninfo_to_dict(proxy_plan.build_address(url))
    assert sorted(parts) == [
        *("application_name", "connect_timeout", "dbname", "host", "options", "sslmode"),
        "target_session_attrs",
    ]
    # What makes it safer is not left out: an older server refuses the address, and names it.
    assert "require_auth=scram-sha-256" in proxy_plan.build_address("require_auth=scram-sha-256")


def test_a_database_gets_what_is_missing() -> None:
    text = plan()
    assert "CREATE EXTENSION plproxy" in text
    assert "OPTIONS (modular_mapping '1', p0 'host=one', p1 'host=two')" in text
    assert "OPTIONS (user 'message_store')" in text
    assert text.count("LANGUAGE plproxy") == 30
    made = msgspec.structs.replace(
        FRESH, has_extension=True, has_map=True, has_server=True, has_login=True
    )
    again = plan(made, functions=["write_message"], schema_exists=True)
    for word in ("EXTENSION", "CREATE SERVER", "USER MAPPING", "CREATE TYPE", "CREATE FUNCTION"):
        assert word not in again.replace("ON FOREIGN SERVER", "")
    changed = plan(made, "it's", functions=["write_message"], schema_exists=True)
    assert "password 'it''s'" in changed


@pytest.mark.parametrize(
    ("proxy", "changes", "text"),
    [
        (FRESH, {"has_messages": True}, "has messages itself"),
        (FRESH, {"functions": ["write_message"]}, "has functions"),
        (FRESH, {"in_recovery": True}, "standby"),
        (msgspec.structs.replace(FRESH, is_available=False), {}, "postgresql-18-plproxy"),
    ],
)
def test_a_database_that_cannot_pass_calls_on_is_refused(
    proxy: ProxyFacts, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(IncompatibleServerError, match=text) as refused:
        plan(proxy, **changes)
    assert "Nothing was changed" in str(refused.value)


def test_names_and_addresses_are_checked() -> None:
    invalid: list[Any] = [
        {},
        None,
        {"a b": "host=x"},
        {"": "host=x"},
        {"a": "postgresql://x:y@z@/"},
    ]
    for nodes in invalid:
        with pytest.raises(ValidationError) as refused:
            proxy_plan.check_nodes(nodes)
        assert "x:y" not in str(refused.value)
    for user, password in (("", None), ("a", "x\0")):
        with pytest.raises(ValidationError):
            proxy_plan.check_login(user, password)


def test_other_nodes_than_those_of_the_map_are_refused() -> None:
    proxy_plan.check_same_nodes(NODES, list(NODES))
    with pytest.raises(IncompatibleServerError, match="to other nodes or addresses: a, b"):
        proxy_plan.check_same_nodes(NODES, NODES[:1])
