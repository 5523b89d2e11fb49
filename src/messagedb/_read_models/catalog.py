"""What a read model finds in the database, and what it does about it: decisions, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from .._errors import ValidationError
from .naming import ModelComment, ReadModelVersion, parse_comment, quote_identifier, quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .naming import ModelNames

LOCK: Final = b"""
SELECT set_config('lock_timeout', '500ms', true), pg_advisory_xact_lock($1::int, $2::int)::text
"""
"""One process at a time changes a model. Nobody waits long for a lock that readers hold: behind
whoever waits for it, new readers would wait as well."""

RELATIONS: Final = b"""
SELECT c.relname::text, c.relkind::text, obj_description(c.oid, 'pg_class'),
       c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user),
       pg_get_userbyid(c.relowner)::text, c.relpersistence = 'u'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text
  AND (c.relname = $2::text OR left(c.relname, length($2::text) + 2) = $2::text || '_v')
"""

GRANTS: Final = b"""
SELECT a.privilege_type::text,
       CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee)::text END, a.is_grantable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
WHERE n.nspname = $1::text AND c.relname = $2::text AND a.grantee <> c.relowner
"""
"""What others than the owner may do; None for everybody."""

TRY_LEASE: Final = b"SELECT pg_try_advisory_xact_lock($1::int, $2::int)"

_KINDS: Final = {
    "r": "a table",
    "p": "a table",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a type",
}


class Grant(msgspec.Struct, frozen=True):
    """A privilege on the view; the grantee is None for everybody."""

    privilege: str
    grantee: str | None
    is_grantable: bool

    def build_grant(self, view: str) -> str:
        """The statement that gives it."""
        option = " WITH GRANT OPTION" if self.is_grantable else ""
        return f"GRANT {self.privilege} ON {view} TO {_quote_role(self.grantee)}{option}"

    def build_revoke(self, view: str) -> str:
        """The statement that takes it away."""
        return f"REVOKE {self.privilege} ON {view} FROM {_quote_role(self.grantee)}"


class Relation(msgspec.Struct, frozen=True):
    """Something in the schema that has a name of the model's."""

    name: str
    kind: str
    comment: ModelComment | None
    is_own: bool
    owner: str
    is_unlogged: bool = False

    @property
    def kind_name(self) -> str:
        """What it is, in words."""
        return _KINDS.get(self.kind, "something else")


class ModelCatalog(msgspec.Struct, frozen=True):
    """What the schema has under the model's names."""

    names: ModelNames
    view: Relation | None
    tables: dict[int, Relation]

    @property
    def current(self) -> int | None:
        """The version that the view shows."""
        mark = self.view.comment if self.view else None
        return mark.version if mark and mark.store == self.names.store else None

    def list_versions(self) -> list[ReadModelVersion]:
        """The versions that are there, in order."""
        return [
            ReadModelVersion(
                version=version,
                table=self.names.get_table(version),
                category=table.comment.category,
                is_current=version == self.current,
            )
            for version, table in sorted(self.tables.items())
            if table.comment is not None and table.comment.store == self.names.store
        ]

    def check_view(self) -> None:
        """Refuse a view that is none of ours.

        Raises:
            ValidationError: it is not. Nothing was changed.
        """
        view = self.view
        if view is not None and (view.kind != "v" or view.comment is None):
            raise ValidationError(
                f"{self.names.view} is {view.kind_name} that was not made by a read model. Nothing "
                "was changed. Give the read model another name, or rename what is there."
            )
        if view is not None and view.comment is not None:
            self._check_store(view.comment, self.names.view)

    def has_table(self, mark: ModelComment) -> bool:
        """Whether the table of a version is there.

        Raises:
            ValidationError: something is, and is not it. Nothing was changed.
        """
        table = self.tables.get(mark.version)
        if table is None:
            return False
        name = self.names.get_table(mark.version)
        if table.kind not in ("r", "p") or table.comment is None:
            raise ValidationError(
                f"{name} is {table.kind_name} that was not made by a read model. Nothing was "
                "changed. Give the read model another name or version, or rename what is there."
            )
        self._check_store(table.comment, name)
        if table.comment != mark:
            raise ValidationError(
                f"{name} was made as '{table.comment.text}', and is now asked for as "
                f"'{mark.text}'. Nothing was changed. Give the read model the next version."
            )
        self.check_logged(mark.version)
        return True

    def check_logged(self, version: int) -> None:
        """Refuse a table that a crash of the server empties, while its position stays.

        Raises:
            ValidationError: it is unlogged. Nothing was changed.
        """
        if self.tables[version].is_unlogged:
            name = self.names.get_table(version)
            raise ValidationError(
                f"{name} is an UNLOGGED table: a crash of the server empties it, and the position "
                "stays, so that what it held would be missing in silence. Nothing was changed. "
                "Leave UNLOGGED out of create, or ALTER TABLE … SET LOGGED."
            )

    def get_droppable(self, version: int) -> ModelComment | None:
        """The mark of a version whose table may be dropped; None if there is no table.

        Raises:
            ValidationError: it is the current one, or not a read model's. Nothing was changed.
        """
        self.check_view()
        if version == self.current:
            raise ValidationError(
                f"version {version} of {self.names.view} is the one that readers see. Nothing was "
                "changed. Show another one first: run rebuild() of that."
            )
        table = self.tables.get(version)
        if table is None:
            return None
        if table.comment is None:
            self.has_table(ModelComment(version, self.names.name, "", ""))
        else:
            self._check_store(table.comment, self.names.get_table(version))
        return table.comment

    def _check_store(self, mark: ModelComment, name: str) -> None:
        if mark.store != self.names.store:
            raise ValidationError(
                f"{name} is of a read model of another store of this database, the one in schema "
                f"{mark.store!r}, and this client's is in {self.names.store!r}. Nothing was "
                "changed. Give the read model a name or a schema of its own for each store."
            )


def parse_catalog(names: ModelNames, rows: Iterable[tuple[Any, ...]]) -> ModelCatalog:
    """What the rows of RELATIONS say."""
    view: Relation | None = None
    tables: dict[int, Relation] = {}
    for name, kind, comment, is_own, owner, is_unlogged in rows:
        mark = parse_comment(comment)
        if mark is not None and mark.name != names.name:
            mark = None
        relation = Relation(name, kind, mark, is_own, owner, is_unlogged)
        if name == names.name:
            view = relation
        elif (version := names.parse_version(name)) is not None:
            tables[version] = relation
    return ModelCatalog(names, view, tables)


def find_missing_grants(readers: Iterable[str], grants: Iterable[Grant]) -> list[Grant]:
    """The grants that readers of the view lack."""
    may = {grant.grantee for grant in grants if grant.privilege == "SELECT"}
    return [Grant("SELECT", reader, False) for reader in readers if reader not in may]


def build_view_statements(
    names: ModelNames,
    mark: ModelComment,
    before: Relation | None,
    grants: Iterable[Grant],
    readers: Iterable[str] = (),
) -> list[str]:
    """The statements that make the view of a version, after the one before was dropped.

    Args:
        names: the model's.
        mark: the version's.
        before: the view that was there, whose owner stays.
        grants: what others could do with it, which stays.
        readers: who may read it besides.
    """
    view, table = names.view, names.get_table(mark.version)
    kept = list(grants)
    texts = [f"COMMENT ON VIEW {view} IS {quote_literal(mark.text)}"]
    texts += [grant.build_grant(view) for grant in (*kept, *find_missing_grants(readers, kept))]
    if before is not None and not before.is_own:
        # With a view the owner's rights on the table count, and not the reader's.
        owner = quote_identifier(before.owner)
        texts += [f"GRANT SELECT ON {table} TO {owner}", f"ALTER VIEW {view} OWNER TO {owner}"]
    return texts


def _quote_role(name: str | None) -> str:
    return "PUBLIC" if name is None else quote_identifier(name)
