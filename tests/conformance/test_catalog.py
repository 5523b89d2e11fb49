"""The catalogs as a client sees them: functions, types, columns, defaults, indexes, views, role."""

from __future__ import annotations

import uuid

import pytest

from tests.conformance.calls import Pair

# Not asked: the language of a function and the settings that it runs with, where ours differ.
QUESTIONS = {
    "functions": """
        select proname, pg_get_function_arguments(oid), pg_get_function_result(oid), provolatile,
            proisstrict, prosecdef, proparallel, proretset, prokind, proleakproof, pronargdefaults,
            proacl::text, pg_get_userbyid(proowner)
        from pg_proc where pronamespace = 'message_store'::regnamespace order by 1, 2""",
    "types": """
        select typname, typtype, typcategory, typacl::text from pg_type
        where typnamespace = 'message_store'::regnamespace order by 1""",
    "columns": """
        select c.relname, c.relkind, c.relacl::text, c.relpersistence, a.attname, a.attnum,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
            pg_get_expr(d.adbin, d.adrelid)
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = 'message_store'::regnamespace order by 1, a.attnum""",
    "indexes": """
        select indexname, indexdef from pg_indexes where schemaname = 'message_store' order by 1""",
    "constraints": """
        select conname, contype, pg_get_constraintdef(oid), condeferrable from pg_constraint
        where connamespace = 'message_store'::regnamespace order by 1""",
    "sequences": """
        select sequencename, data_type::text, start_value, min_value, max_value, increment_by,
            cycle, cache_size from pg_sequences where schemaname = 'message_store'""",
    "the owner of the sequence": """
        select pg_get_serial_sequence('message_store.messages', 'global_position')""",
    "triggers and rules": """
        select tgname from pg_trigger where tgrelid = 'message_store.messages'::regclass""",
    "the schema": """
        select nspacl::text, pg_get_userbyid(nspowner) from pg_namespace
        where nspname = 'message_store'""",
    "the role": """
        select rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
            rolbypassrls, rolconnlimit, rolvaliduntil, rolconfig
        from pg_roles where rolname = 'message_store'""",
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_catalogs_say_the_same(long_pair: Pair, name: str) -> None:
    outcome = long_pair.same(QUESTIONS[name])
    assert not outcome.error
    assert outcome.rows or name == "triggers and rules"


VIEWS = (
    *("stream_summary", "type_summary", "stream_type_summary", "type_stream_summary"),
    *("category_type_summary", "type_category_summary"),
)


@pytest.mark.parametrize("view", VIEWS)
def test_the_rows_of_a_view(pair: Pair, view: str) -> None:
    text = f"select * from {view} order by 1, 2"
    assert pair.same(text).rows == []
    names = ("a-1", "a-2", "b:t-1", "b:t", "", "-", "c-1")
    for number in range(29):
        write = "select write_message(%s, %s, %s, '{}'::jsonb)"
        kind = "Odd" if number % 3 else "Even"
        pair.both(write, [str(uuid.UUID(int=number)), names[number % len(names)], kind])
    rows = pair.same(text).rows
    assert sum(row[-2] for row in rows) == 29
    # The percentages are of all messages, also where a client filters the view.
    first = rows[0][0]
    assert pair.same(f"select * from {view} where {text_column(view)} = %s order by 1, 2", [first])


def text_column(view: str) -> str:
    first = view.split("_")[0]
    return "stream_name" if first == "stream" else first
