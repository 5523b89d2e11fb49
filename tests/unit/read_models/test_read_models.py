"""Read models: names, marks, and what is decided about what is found."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import StreamPositionStore, TablePositionStore, ValidationError
from messagedb._read_models import naming
from messagedb._read_models.catalog import Grant, build_view_statements, parse_catalog
from messagedb._read_models.naming import ModelComment, ModelNames

NAMES = ModelNames("public", "balances")
MARK = ModelComment(2, "balances", "table", ("account",))
OTHER = ModelComment(1, "balances", "stream", ("account",))


def rows(*given: tuple[str, str, ModelComment | None]) -> Any:
    """Make the rows of relations of ours."""
    return [(name, kind, mark and mark.text, True, "me", False) for name, kind, mark in given]


def test_names_are_qualified_and_quoted() -> None:
    names = naming.check_names("public", "balances", 2)
    assert names.view == '"public"."balances"'
    assert names.get_table(2) == '"public"."balances_v2"'
    assert names.get_identifier(2) == "public.balances_v2"
    assert names.get_position_name(MARK) == "account:position-public.balances_v2"


@pytest.mark.parametrize("name", ["", "Balances", "1st", "a-b", 'a"b', "a b", "é", "a\n", None, 5])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(ValidationError, match="the name of a read model"):
        naming.check_names("public", name, 1)
    with pytest.raises(ValidationError, match="the schema of a read model"):
        naming.check_names(name, "balances", 1)


def test_a_name_is_no_longer_than_postgresql_keeps() -> None:
    naming.check_names("s" * 63, "n" * 60, 9)
    with pytest.raises(ValidationError, match="63 bytes"):
        naming.check_names("public", "n" * 60, 10)
    with pytest.raises(ValidationError, match="63 bytes"):
        naming.check_names("s" * 64, "balances", 1)


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0, None, 2**31])
def test_a_version_is_a_number_from_one(version: Any) -> None:
    with pytest.raises(ValidationError, match="integer of at"):
        naming.check_names("public", "balances", version)


def test_the_table_is_put_where_it_is_named_and_other_braces_stay() -> None:
    texts = naming.validate_create(["CREATE TABLE {table} (a jsonb DEFAULT '{}')", "SELECT '{x}'"])
    assert [naming.substitute_table(text, NAMES.get_table(1)) for text in texts] == [
        b"""CREATE TABLE "public"."balances_v1" (a jsonb DEFAULT '{}')""",
        b"SELECT '{x}'",
    ]


@pytest.mark.parametrize(
    "create", ["CREATE TABLE balances (a int)", "", [], [1], None, "{table}\0", "{table}\ud800"]
)
def test_statements_that_name_no_table_are_refused(create: Any) -> None:
    with pytest.raises(ValidationError, match="create must"):
        naming.validate_create(create)


def test_position_stores_without_a_name() -> None:
    assert naming.check_position_store(StreamPositionStore()) == "stream"
    assert naming.check_position_store(TablePositionStore()) == "table"
    for store in (StreamPositionStore("x:position"), TablePositionStore("x"), None):
        with pytest.raises(ValidationError, match="without a name"):
            naming.check_position_store(store)


@pytest.mark.parametrize("category", ["account", "account:command", "with, comma's\nand a line"])
def test_a_mark_is_read_as_it_was_written(category: str) -> None:
    mark = ModelComment(12, "balances", "stream", (category,))
    assert naming.parse_comment(mark.text) == mark


@pytest.mark.parametrize(
    "categories", [("account", "transfer"), ('with, a "quote" and\na line', "é")]
)
def test_a_mark_of_several_categories_is_read_as_it_was_written(
    categories: tuple[str, ...],
) -> None:
    mark = naming.build_comment(NAMES, 3, "table", categories)
    assert mark == naming.build_comment(NAMES, 3, "table", categories[::-1])
    assert naming.parse_comment(mark.text) == mark
    assert mark.category is None
    assert NAMES.get_position_name(mark) == "all:position-public.balances_v3"
    assert naming.parse_comment(mark.text.replace('["', '[1, "')) is None


def test_a_model_has_one_category_or_several_each_of_them_once() -> None:
    assert naming.check_categories("account", None) == ("account",)
    assert naming.check_categories(None, ["account"]) == ("account",)
    assert naming.check_categories(None, iter(["b", "a"])) == ("b", "a")
    for category, categories, text in [
        (None, None, "pass one of the two"),
        ("account", ["transfer"], "pass one of the two"),
        (None, ["account", "transfer", "account"], "'account' twice"),
        (None, "account", "give"),
        (None, [], "must not be empty"),
        (None, 5, "iterable of names"),
        (None, ["account", "transfer-1"], "each of categories"),
        ("", None, "category"),
    ]:
        with pytest.raises(ValidationError, match=text):
            naming.check_categories(category, categories)


@pytest.mark.parametrize("store", ["message_store", "tenant_a", 'odd", category "x', ", category "])
def test_a_mark_names_the_store(store: str) -> None:
    mark = ModelComment(1, "balances", "table", ("account",), store)
    assert naming.parse_comment(mark.text) == mark
    assert ("store" in mark.text) is (store != "message_store")


def test_relations_of_another_store_are_refused() -> None:
    of_another = ModelComment(2, "balances", "table", ("account",), "tenant_a")
    found = parse_catalog(
        NAMES, rows(("balances", "v", of_another), ("balances_v2", "r", of_another))
    )
    assert found.current is None
    assert found.list_versions() == []
    for call in (found.check_view, lambda: found.has_table(MARK), lambda: found.get_droppable(2)):
        with pytest.raises(ValidationError, match="another store of this database"):
            call()


@pytest.mark.parametrize("readers", ["web", ("web", "other role"), []])
def test_readers_are_roles(readers: Any) -> None:
    roles = naming.check_readers(readers)
    assert roles == (("web",) if readers == "web" else tuple(readers))


@pytest.mark.parametrize("readers", [1, [""], [None], ["a\0"], ["a\ud800"]])
def test_other_readers_are_refused(readers: Any) -> None:
    with pytest.raises(ValidationError, match="names of roles"):
        naming.check_readers(readers)


@pytest.mark.parametrize("comment", [None, "", "a view", f"see {MARK.text}", MARK.text.upper()])
def test_other_comments_are_no_marks(comment: str | None) -> None:
    assert naming.parse_comment(comment) is None


def test_tables_of_versions_are_told_from_others() -> None:
    found = parse_catalog(
        NAMES,
        rows(
            ("balances", "v", OTHER),
            ("balances_v1", "r", OTHER),
            ("balances_v2", "r", MARK),
            ("balances_v3", "r", None),
            ("balances_v03", "r", MARK),
            ("balances_vx", "r", MARK),
            ("balances_v2_pkey", "i", None),
        ),
    )
    assert found.current == 1
    assert [(v.version, v.is_current) for v in found.list_versions()] == [(1, True), (2, False)]
    assert found.list_versions()[1].table == '"public"."balances_v2"'
    assert found.has_table(MARK)
    assert not found.has_table(ModelComment(4, "balances", "table", ("account",)))


@pytest.mark.parametrize(
    ("kind", "mark", "word"),
    [
        ("r", None, "a table"),
        ("v", None, "a view"),
        ("m", OTHER, "a materialized view"),
        ("S", None, "a sequence"),
        ("v", ModelComment(1, "other", "table", ("account",)), "a view"),
    ],
)
def test_a_view_of_somebody_else_is_refused(
    kind: str, mark: ModelComment | None, word: str
) -> None:
    found = parse_catalog(NAMES, rows(("balances", kind, mark)))
    with pytest.raises(ValidationError, match=f"is {word} that was not made by a read model"):
        found.check_view()
    with pytest.raises(ValidationError, match="not made by"):
        found.get_droppable(1)


def test_a_table_of_somebody_else_is_refused() -> None:
    for kind, mark in (("r", None), ("v", MARK)):
        with pytest.raises(ValidationError, match="not made by a read model"):
            parse_catalog(NAMES, rows(("balances_v2", kind, mark))).has_table(MARK)
    with pytest.raises(ValidationError, match="not made by a read model"):
        parse_catalog(NAMES, rows(("balances_v2", "r", None))).get_droppable(2)


@pytest.mark.parametrize(
    "other",
    [
        ModelComment(2, "balances", "stream", ("account",)),
        ModelComment(2, "balances", "table", ("transfer",)),
    ],
)
def test_a_table_that_was_made_otherwise_is_refused(other: ModelComment) -> None:
    with pytest.raises(ValidationError, match="the next version"):
        parse_catalog(NAMES, rows(("balances_v2", "r", other))).has_table(MARK)


def test_the_current_version_is_not_dropped() -> None:
    found = parse_catalog(
        NAMES,
        rows(("balances", "v", MARK), ("balances_v1", "r", OTHER), ("balances_v2", "r", MARK)),
    )
    with pytest.raises(ValidationError, match="the one that readers see"):
        found.get_droppable(2)
    assert found.get_droppable(1) == OTHER
    assert found.get_droppable(3) is None


def test_a_view_is_given_back_to_its_owner_with_its_grants() -> None:
    before = parse_catalog(NAMES, [("balances", "v", OTHER.text, False, 'o"wner', False)]).view
    grants = [Grant("SELECT", None, False), Grant("UPDATE", "a b", True)]
    assert build_view_statements(NAMES, MARK, before, grants)[1:] == [
        'GRANT SELECT ON "public"."balances" TO PUBLIC',
        'GRANT UPDATE ON "public"."balances" TO "a b" WITH GRANT OPTION',
        'GRANT SELECT ON "public"."balances_v2" TO "o""wner"',
        'ALTER VIEW "public"."balances" OWNER TO "o""wner"',
    ]
    assert len(build_view_statements(NAMES, MARK, None, [])) == 1
