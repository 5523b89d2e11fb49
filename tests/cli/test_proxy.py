"""Several nodes are set up, extended, shown and checked by the CLI."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from messagedb import Client, Metadata, NewMessage, ServerError, schema
from messagedb.errors import IncompatibleServerError, StoreUnavailableError, ValidationError
from tests.cli.conftest import Command
from tests.support.plproxy import NoPLProxyError
from tests.support.several_nodes import PROXY, SeveralNodes

NODES = {"first": "old", "second": "new", "third": "third"}


def open_server() -> SeveralNodes:
    """Return a server with databases of which nothing is made yet."""
    try:
        return SeveralNodes((), spare=(*NODES.values(), "other", "spare", "wrong"))
    except NoPLProxyError as error:
        pytest.skip(str(error))


@pytest.fixture
def databases() -> Generator[SeveralNodes]:
    """Return a server with databases of which nothing is made yet."""
    nodes = open_server()
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def nodes() -> Generator[SeveralNodes]:
    """Return three nodes, of which the third was added to categories that were there."""
    nodes = open_server()
    urls = {name: nodes.admin_url(place) for name, place in NODES.items()}
    third = urls.pop("third")
    assert schema.install_proxy(nodes.admin_url(), nodes=urls)
    with Client(nodes.url()) as client:
        for number in range(20):
            write(client, f"kept{number}")
    assert schema.add_proxy_node(nodes.admin_url(), name="third", node=third)
    nodes.names = list(NODES.values())
    yield nodes
    nodes.close()


def write(client: Client, category: str) -> None:
    client.write_message(f"{category}-1", NewMessage("Noted", {"n": 1}))


def test_an_existing_store_becomes_the_first_node_and_keeps_its_categories(
    databases: SeveralNodes, command: Command
) -> None:
    schema.install(databases.admin_url("old"))
    with Client(databases.server.url("old", "message_store")) as client:
        for number in range(20):
            write(client, f"old{number}")
        write(client, "old1:command")
    old, new = databases.admin_url("old"), databases.admin_url("new")
    init = ("--url", databases.admin_url(), "proxy", "init", f"first={old}", f"second={new}")
    made = command(*init)
    assert made.rows == [{"made": True}], made.err
    assert command(*init).rows == [{"made": False}]
    databases.names = ["old", "new"]
    with Client(databases.url()) as client:
        for number in range(20):
            write(client, f"old{number}")
            write(client, f"fresh{number}")
            assert client.stream_version(f"old{number}-1") == 1
        assert len(client.get_category_messages("old1:command")) == 1
    found = databases.count_messages()
    assert all(found[f"old{number}-1"] == {"old": 2} for number in range(20))
    assert {next(iter(found[f"fresh{number}-1"])) for number in range(20)} == {"old", "new"}


def test_a_further_node_gets_new_categories_only(databases: SeveralNodes, command: Command) -> None:
    two = {name: databases.admin_url(NODES[name]) for name in ("first", "second")}
    assert schema.install_proxy(databases.admin_url(), nodes=two)
    databases.names = ["old", "new"]
    with Client(databases.url()) as client:
        for number in range(20):
            write(client, f"fresh{number}")
        before = databases.count_messages()
        third = databases.admin_url("third")
        add = ("--url", databases.admin_url(), "proxy", "add-node", f"third={third}")
        added = command(*add)
        assert added.rows == [{"added": True}], added.err
        assert command(*add).rows == [{"added": False}]
        databases.names.append("third")
        for number in range(20):
            write(client, f"fresh{number}")
            write(client, f"newest{number}")
    found = databases.count_messages()
    for stream, place in before.items():
        assert list(found[stream]) == list(place)
    places = {next(iter(found[f"newest{number}-1"])) for number in range(20)}
    assert places == {"old", "new", "third"}
    rows = command("--url", databases.url(), "proxy", "status").rows
    assert [(row["node"], row["slots"], row["map_version"]) for row in rows] == [
        ("first", 341, 2), ("second", 342, 2), ("third", 341, 2)
    ]  # fmt: skip
    assert sum(row["messages"] for row in rows) == 20 + 20 + 20
    assert sum(row["categories"] for row in rows) == 40
    assert all(row["reachable"] and row["error"] is None for row in rows)


def test_a_message_on_a_node_is_traced_to_its_effect_on_another(
    nodes: SeveralNodes, command: Command
) -> None:
    with Client(nodes.url()) as client:
        first, second = [nodes.name_category("traced", node) for node in ("first", "second")]
        client.write_message(f"{first}-1", NewMessage("Asked"))
        (cause,) = client.get_stream_messages(f"{first}-1")
        for number in range(2):
            effect = NewMessage(f"Done{number}", metadata=Metadata.following(cause))
            client.write_message(f"{second}-1", effect)
    url = ("--url", nodes.url(), "trace", f"{first}-1/0")
    ran = command(*url, "--within", "100000")
    assert [row["type"] for row in ran.rows] == ["Asked", "Done0", "Done1"], ran.err
    ran = command(*url, "--within", "1")
    assert "later messages were not searched on some node: see --within" in ran.err


def test_check_finds_what_is_wrong(nodes: SeveralNodes, command: Command) -> None:
    def check() -> dict[str, str]:
        ran = command("--url", nodes.url(), "proxy", "check")
        wrong = {row["about"]: row["found"] for row in ran.rows if row["level"] != "ok"}
        problems = [row for row in ran.rows if row["level"] == "problem"]
        assert ran.code == (1 if problems else 0), ran.err
        return wrong

    assert check() == {}
    misplaced = nodes.name_category("misplaced", "first")
    with Client(nodes.server.url("third", "message_store")) as client:
        write(client, f"{misplaced}:command")
    assert check()["node third"].endswith(f"that the map has elsewhere: {misplaced}")
    nodes.ask("third", "truncate message_store.messages")
    ((version,),) = nodes.ask("third", "select map_version from messagedb.proxied_by")
    nodes.ask("third", f"update messagedb.proxied_by set map_version = {version + 5}")
    assert "restored from an old backup" in check()["node third"]
    nodes.ask("third", f"update messagedb.proxied_by set map_version = {version - 1}")
    assert f"it knows version {version - 1} of the map" in check()["node third"]
    nodes.ask("third", f"update messagedb.proxied_by set map_version = {version}")
    nodes.ask(PROXY, "insert into messagedb.proxy_categories values ('gone', 0, 'copying', 1)")
    assert check() == {"moves": "unfinished: gone"}
    nodes.ask(PROXY, "delete from messagedb.proxy_categories where category = 'gone'")
    nodes.ask(PROXY, "alter server messagedb options (set p1 'dbname=new')")
    assert check()["addresses"].endswith("differ in p1")
    nodes.ask(
        PROXY,
        "do $$ begin execute (select format('alter server messagedb options (set p1 %L)', address) "
        "from messagedb.proxy_nodes where node = 1); end $$",
    )
    slots = nodes.ask(PROXY, "delete from messagedb.proxy_slots where slot < 9 returning *")
    assert check()["map"].startswith("9 of 1024 slots have no node")
    with Client(nodes.url()) as client, pytest.raises(ServerError, match="no node has category"):
        for number in range(500):
            client.stream_version(f"{number}-1")
    for slot in slots:
        nodes.ask(PROXY, "insert into messagedb.proxy_slots values (%s, %s)", *slot)


def test_a_node_that_is_away_is_named(nodes: SeveralNodes, command: Command) -> None:
    nodes.ask("postgres", "alter database third allow_connections false")
    try:
        rows = command("--url", nodes.url(), "proxy", "status").rows
        assert [row["reachable"] for row in rows] == [True, True, False]
        assert rows[2]["messages"] is None
        assert '"third" is not currently accepting connections' in rows[2]["error"]
        ran = command("--url", nodes.url(), "proxy", "check")
        assert ran.code == 1
        (found,) = [row for row in ran.rows if row["level"] == "problem"]
        assert found["about"] == "node third"
        assert "unavailable: the categories of 341 of 1024 slots, but not" in found["found"]
        # The diagnosis of the database has the same, beside its own findings.
        ran = command("--url", nodes.url(), "doctor")
        assert ran.code == 1
        assert [row for row in ran.rows if row["level"] == "problem"] == [found]
        with pytest.raises(StoreUnavailableError):
            other = nodes.admin_url("other")
            schema.add_proxy_node(nodes.admin_url(), name="fourth", node=other)
    finally:
        nodes.ask("postgres", "alter database third allow_connections true")
    assert len(command("--url", nodes.url(), "proxy", "status").rows) == 3
    ran = command("--url", nodes.url(), "doctor")
    assert ran.code == 0, ran.rows
    assert {row["about"] for row in ran.rows} >= {"map", "node first", "node second", "node third"}


def test_a_node_with_older_functions_is_found_by_doctor(
    nodes: SeveralNodes, command: Command
) -> None:
    rows = nodes.ask("third", "delete from messagedb.schema_version where version = 3 returning 1")
    try:
        ran = command("--url", nodes.url(), "doctor")
        (found,) = [row for row in ran.rows if row["level"] == "problem"]
        assert found["about"] == "node third"
        assert found["found"] == "its schema messagedb has version 2: batches need 3"
    finally:
        assert rows == [(1,)]
        nodes.ask("third", "insert into messagedb.schema_version (version) values (3)")
    assert command("--url", nodes.url(), "doctor").code == 0


def test_a_proxying_database_with_older_functions_is_found_and_brought_up_to_date(
    nodes: SeveralNodes, command: Command
) -> None:
    name = "messagedb.proxy_list_streams"
    nodes.ask(PROXY, f"drop function {name}")
    with Client(nodes.url()) as client:
        write(client, "listed")
        with pytest.raises(IncompatibleServerError, match="messagedb proxy init") as refused:
            list(client.list_streams("listed"))
        assert name in str(refused.value)
        for words in (("doctor",), ("proxy", "check")):
            ran = command("--url", nodes.url(), *words)
            (found,) = [row for row in ran.rows if row["level"] == "problem"]
            assert found["about"] == "functions"
            assert found["found"].endswith("proxy_list_streams missing")
        urls = [f"{each}={nodes.admin_url(place)}" for each, place in NODES.items()]
        again = command("--url", nodes.admin_url(), "proxy", "init", *urls)
        assert again.rows == [{"made": False}], again.err
        assert [each.name for each in client.list_streams("listed")] == ["listed-1"]
    assert command("--url", nodes.url(), "doctor").code == 0


def test_wrong_nodes_are_refused_and_nothing_is_changed(
    nodes: SeveralNodes, command: Command
) -> None:
    wrong, other = nodes.admin_url("wrong"), nodes.admin_url("other")
    old, third = nodes.admin_url("old"), nodes.admin_url("third")
    cases = [
        (wrong, {"a": other, "b": other}, "is the same database as node 'a'"),
        (wrong, {"a": wrong}, "is the same database as the proxying database itself"),
        (wrong, {"a": old}, "belongs to another proxying database, as node 'first'"),
        (old, {"a": other}, "has messages itself"),
        (nodes.admin_url(), {"a": other}, "to other nodes or addresses: first, second, third"),
    ]
    for url, given, text in cases:
        with pytest.raises(IncompatibleServerError, match=text):
            schema.install_proxy(url, nodes=given)
    assert nodes.ask("wrong", "select to_regclass('messagedb.proxy_map')::text") == [(None,)]
    assert nodes.ask("wrong", "select count(*) from pg_extension where extname = 'plproxy'") == [
        (0,)
    ]
    with pytest.raises(IncompatibleServerError, match="other nodes or addresses"):
        schema.add_proxy_node(nodes.admin_url(), name="fourth", node=third)
    with pytest.raises(IncompatibleServerError, match="does not pass calls on"):
        schema.add_proxy_node(wrong, name="fourth", node=other)
    with pytest.raises(ValidationError, match="the name of a node"):
        schema.add_proxy_node(nodes.admin_url(), name="no name", node=other)
    assert command("--url", wrong, "proxy", "status").code == 1
    assert command("--url", nodes.url(), "proxy", "add-node", "nothing").code == 2


def test_a_node_that_the_proxying_server_does_not_reach_is_refused(nodes: SeveralNodes) -> None:
    spare = nodes.admin_url("spare")
    with pytest.raises(StoreUnavailableError, match='role "nobody" does not exist') as refused:
        schema.install_proxy(nodes.admin_url("wrong"), nodes={"a": spare}, user="nobody")
    assert str(refused.value).endswith("Nothing was changed.")
    assert nodes.ask("wrong", "select to_regclass('messagedb.proxy_map')::text") == [(None,)]


def test_no_password_of_a_node_can_be_read(nodes: SeveralNodes, command: Command) -> None:
    secret = "s3cr3t-of-the-nodes"
    nodes.ask("postgres", "create database secretive")
    nodes.ask("postgres", "create database secretnode")
    node = nodes.server.url("secretnode", "postgres", secret)
    made = command(
        "--url", nodes.admin_url("secretive"), "proxy", "init", f"a={node}", "--password", secret
    )
    assert made.code == 0, made.err
    url = nodes.server.url("secretive", "message_store")
    shown = [made.out, made.err]
    for name in ("status", "check"):
        ran = command("--url", url, "proxy", name)
        assert ran.code == 0, ran.err
        shown += [ran.out, ran.err]
    with Client(url) as client:
        write(client, "account")
        bound = client.get_category_messages("account")
        assert len(bound) == 1
    with psycopg.connect(url) as conn:
        for catalog in ("pg_foreign_server", "pg_user_mappings", "messagedb.proxy_nodes"):
            shown.append(str(conn.execute(f"table {catalog}".encode()).fetchall()))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("table pg_user_mapping")
    assert secret not in "".join(shown)
    again = command("--url", nodes.admin_url("secretive"), "proxy", "init", f"a={node}")
    assert again.rows == [{"made": False}]
    login = "select umoptions::text from pg_user_mappings"
    assert secret in str(nodes.ask("secretive", login))


def test_messages_of_all_nodes_are_counted_and_moved_ones_once(
    nodes: SeveralNodes, command: Command
) -> None:
    first, second = (nodes.name_category("counted", name) for name in ("first", "second"))
    with Client(nodes.url()) as client:
        client.write_messages(f"{first}-1", [NewMessage("Counted", {}), NewMessage("Other", {})])
        client.write_messages(f"{second}-1", [NewMessage("Counted", {})])
    before = command("--url", nodes.url(), "types", "Counted").rows
    schema.move_proxy_category(nodes.admin_url(), category=second, target="first")
    assert command("--url", nodes.url(), "types", "Counted").rows == before
    (row,) = before
    assert (row["type"], row["message_count"]) == ("Counted", 2)
    assert 0 < float(row["percent"]) < 100
    rows = command("--url", nodes.url(), "categories", "counted*").rows
    assert [(row["category"], row["message_count"]) for row in rows] == [(first, 2), (second, 1)]
    ran = command("--url", nodes.url(), "streams", f"{first}*", "--types", "--limit", "1")
    assert [(row["stream_name"], row["type"]) for row in ran.rows] == [(f"{first}-1", "Counted")]
    ran = command("--url", nodes.url(), "read", first, "--since", "10m")
    assert (ran.code, ran.rows) == (1, [])
    ran = command("--url", nodes.url(), "export", first)
    assert ran.code == 1
    assert "connect to the node that has the category" in ran.err
