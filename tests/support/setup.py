"""The setup of the clients' cases that the environment asks for: schema, role and pooler.

``nox -s servers`` runs the cases with many combinations. Without these variables they run as
message_store, directly, on our own schema.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support import genuine
from tests.support.backend import make_url

ROLES: Final = {"message_store": "message_store", "member": "mdb_member", "owner": "mdb_owner"}
"""The values of ``MESSAGEDB_TEST_ROLE``, and the names of the roles."""

POOLS: Final = {"": "", "session": "sessions", "transaction": "many"}
"""The values of ``MESSAGEDB_TEST_POOLER``, and the pools of our PgBouncer."""


NODES: Final = {"nodes-1": 1, "nodes-2": 2, "nodes-3": 3}
"""The numbers of nodes behind a proxying database, by the value of ``MESSAGEDB_TEST_SCHEMA``."""


class Setup(NamedTuple):
    """The schema, ``ours``, ``genuine-1.3.1`` or ``nodes-2``; the role; the pooler's mode, if any.

    With ``nodes-2`` the database passes the calls on to two others, by PL/Proxy.
    """

    schema: str
    role: str
    pooler: str


def read_setup() -> Setup:
    """Return the setup that the environment asks for.

    Raises:
        ValueError: a variable has an unknown value.
    """
    schema = os.environ.get("MESSAGEDB_TEST_SCHEMA") or "ours"
    if schema == "genuine":
        schema = f"genuine-{genuine.DEFAULT}"
    role = os.environ.get("MESSAGEDB_TEST_ROLE") or "message_store"
    pooler = os.environ.get("MESSAGEDB_TEST_POOLER") or ""
    versions = [f"genuine-{version}" for version in genuine.VERSIONS]
    for name, value, known in (
        ("SCHEMA", schema, ["ours", "genuine", *versions, *NODES]),
        ("ROLE", role, [*ROLES]),
        ("POOLER", pooler, [*POOLS]),
    ):
        if value not in known:
            raise ValueError(f"MESSAGEDB_TEST_{name} is {value!r}, and may be one of {known}")
    return Setup(schema, role, pooler)


def install(url: str, setup: Setup) -> None:
    """Install the schema of a setup in an empty database, as its owner.

    Args:
        url: a superuser's URL of the database.
        setup: the setup.
    """
    # Roles belong to the server, and locks to a database: others may create a role now, too.
    with psycopg.connect(make_url(url, dbname="postgres")) as conn:
        conn.execute("select pg_advisory_xact_lock(hashtext('mdb roles'))")
        _install(url, setup)


def _install(url: str, setup: Setup) -> None:
    from messagedb import schema

    installer = url
    if setup.role == "owner":
        name = ROLES["owner"]
        _create_role(url, name, "createdb createrole")
        with psycopg.connect(url, autocommit=True) as conn:
            database = conn.info.dbname
            conn.execute(f'alter database "{database}" owner to {name}'.encode())
        installer = make_url(url, user=name)
    if setup.schema == "ours":
        schema.install(installer)
    elif setup.schema in NODES:
        nodes = name_nodes(url, setup)
        with psycopg.connect(url, autocommit=True) as conn:
            for node in nodes:
                options = "template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'"
                conn.execute(f'create database "{node}" {options}'.encode())
        schema.install_proxy(url, nodes={name: make_conninfo(url, dbname=name) for name in nodes})
    else:
        genuine.install(installer, setup.schema.removeprefix("genuine-"))
        # Leaves it as it is, and adds our own schema beside it, for positions in a table.
        assert not schema.install(installer)
    if setup.role == "member":
        _create_role(url, ROLES["member"], "in role message_store")


def name_nodes(url: str, setup: Setup) -> list[str]:
    """Return the names of the databases that are the nodes of a database; none if it has none."""
    name = conninfo_to_dict(url)["dbname"]
    return [f"{name}_node{number}" for number in range(NODES.get(setup.schema, 0))]


def _create_role(url: str, name: str, options: str) -> None:
    """Create a role that can log in, unless it exists."""
    with psycopg.connect(url) as conn:
        if conn.execute("select from pg_roles where rolname = %s", [name]).fetchone() is None:
            conn.execute(f"create role {name} login {options}".encode())


def get_sql_version() -> str:
    """Return the version that the Message DB of the clients' cases reports."""
    from messagedb._schema.install_plan import VERSION

    schema = read_setup().schema
    return (
        VERSION
        if not schema.startswith("genuine-")
        else genuine.SQL_VERSIONS[schema.removeprefix("genuine-")]
    )
