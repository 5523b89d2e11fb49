"""Decisions about the tables and views of a read model in the database. No I/O."""

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
"""Serializes changes of a model. The wait for a table lock that readers hold is short, because new
readers queue behind a process that waits for it."""

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
"""The privileges of roles other than the owner; the grantee is None for PUBLIC."""

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
    """A privilege on the view; the grantee is None for PUBLIC."""

    privilege: str
    grantee: str | None
    is_grantable: bool

    def build_grant(self, view: str) -> str:
        """Return the statement that grants it."""
        option = " WITH GRANT OPTION" if self.is_grantable else ""
        return f"GRANT {self.privilege} ON {view} TO {_quote_role(self.grantee)}{option}"

    def build_revoke(self, view: str) -> str:
        """Return the statement that revokes it."""
        return f"REVOKE {self.privilege} ON {view} FROM {_quote_role(self.grantee)}"


class Relation(msgspec.Struct, frozen=True):
    """A table, view or other relation in the schema under one of the model's names."""

    name: str
    kind: str
    comment: ModelComment | None
    is_own: bool
    owner: str
    is_unlogged: bool = False

    @property
    def kind_name(self) -> str:
        """The kind of relation, in words."""
        return _KINDS.get(self.kind, "something else")


class ModelCatalog(msgspec.Struct, frozen=True):
    """The relations in the schema under the model's names."""

    names: ModelNames
    view: Relation | None
    tables: dict[int, Relation]

    @property
    def current(self) -> int | None:
        """The version that the view shows, None if there is none."""
        mark = self.view.comment if self.view else None
        return mark.version if mark and mark.store == self.names.store else None

    def list_versions(self) -> list[ReadModelVersion]:
        """Return the versions in the database, in order."""
        return [
            ReadModelVersion(
                version=version,
                table=self.names.get_table(version),
                category=table.comment.category,
                categories=table.comment.categories,
                is_current=version == self.current,
            )
            for version, table in sorted(self.tables.items())
            if table.comment is not None and table.comment.store == self.names.store
        ]

    def check_view(self) -> None:
        """Raise if the view was not made by this library for this store.

        Raises:
            ValidationError: it was not. Nothing was changed.
        """
        view = self.view
        if view is not None and (view.kind != "v" or view.comment is None):
            raise ValidationError(
                f"{self.names.view} is {view.kind_name} that was not made by a read model. Nothing "
                "was changed. Give the read model another name, or rename that relation."
            )
        if view is not None and view.comment is not None:
            self._check_store(view.comment, self.names.view)

    def has_table(self, mark: ModelComment) -> bool:
        """Return True if the table of a version exists.

        Raises:
            ValidationError: another relation has its name. Nothing was changed.
        """
        table = self.tables.get(mark.version)
        if table is None:
            return False
        name = self.names.get_table(mark.version)
        if table.kind not in ("r", "p") or table.comment is None:
            raise ValidationError(
                f"{name} is {table.kind_name} that was not made by a read model. Nothing was "
                "changed. Give the read model another name or version, or rename that relation."
            )
        self._check_store(table.comment, name)
        if table.comment != mark:
            raise ValidationError(
                f"{name} was made as '{table.comment.text}', but the read model is now "
                f"'{mark.text}'. Nothing was changed. Give the read model the next version."
            )
        self.check_logged(mark.version)
        return True

    def check_logged(self, version: int) -> None:
        """Raise if the table would be emptied by a crash of the server, while its position stays.

        Raises:
            ValidationError: the table is unlogged. Nothing was changed.
        """
        if self.tables[version].is_unlogged:
            name = self.names.get_table(version)
            raise ValidationError(
                f"{name} is an UNLOGGED table: a crash of the server empties it but keeps its "
                "position, so its rows would be lost without an error. Nothing was changed. "
                "Remove UNLOGGED from create, or run ALTER TABLE … SET LOGGED."
            )

    def get_droppable(self, version: int) -> ModelComment | None:
        """Return the mark of a version whose table may be dropped; None if there is no table.

        Raises:
            ValidationError: it is the current version, or not a read model's. Nothing was changed.
        """
        self.check_view()
        if version == self.current:
            raise ValidationError(
                f"version {version} of {self.names.view} is the one that readers see. Nothing was "
                "changed. Show another version first: call its rebuild()."
            )
        table = self.tables.get(version)
        if table is None:
            return None
        if table.comment is None:
            self.has_table(ModelComment(version, self.names.name, "", ()))
        else:
            self._check_store(table.comment, self.names.get_table(version))
        return table.comment

    def _check_store(self, mark: ModelComment, name: str) -> None:
        if mark.store != self.names.store:
            raise ValidationError(
                f"{name} is of a read model of another store of this database, the one in schema "
                f"{mark.store!r}; this client's store is in {self.names.store!r}. Nothing was "
                "changed. Give the read model another name or schema for each store."
            )


def parse_catalog(names: ModelNames, rows: Iterable[tuple[Any, ...]]) -> ModelCatalog:
    """Return the model's relations among the rows of RELATIONS."""
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
    """Return the grants that readers of the view lack."""
    may = {grant.grantee for grant in grants if grant.privilege == "SELECT"}
    return [Grant("SELECT", reader, False) for reader in readers if reader not in may]


def build_view_statements(
    names: ModelNames,
    mark: ModelComment,
    before: Relation | None,
    grants: Iterable[Grant],
    readers: Iterable[str] = (),
) -> list[str]:
    """Return the statements that follow the creation of a version's view.

    Args:
        names: the model's names.
        mark: the mark of the version.
        before: the earlier view, whose owner is kept.
        grants: the privileges of other roles on it, which are kept.
        readers: further roles that may read the view.
    """
    view, table = names.view, names.get_table(mark.version)
    kept = list(grants)
    texts = [f"COMMENT ON VIEW {view} IS {quote_literal(mark.text)}"]
    texts += [grant.build_grant(view) for grant in (*kept, *find_missing_grants(readers, kept))]
    if before is not None and not before.is_own:
        # The rights of a view's owner on the table count, not those of the reader.
        owner = quote_identifier(before.owner)
        texts += [f"GRANT SELECT ON {table} TO {owner}", f"ALTER VIEW {view} OWNER TO {owner}"]
    return texts


def _quote_role(name: str | None) -> str:
    return "PUBLIC" if name is None else quote_identifier(name)
