"""The statements that run a query on nodes, through PL/Proxy."""

from __future__ import annotations

from typing import Final

ROWS_OF_NODE: Final = b"""
SELECT found FROM messagedb.proxy_read_rows($1::varchar, $2::varchar, $3::boolean) AS found
"""
"""The rows of a query on the node of a stream or category, each as a JSON array."""

ROWS_ON_NODE: Final = b"""
SELECT found FROM messagedb.proxy_read_rows_on($1::int, $2::varchar, $3::boolean) AS found
"""
"""The rows of a query on the node with a number."""

LIST_NODES: Final = b"""
SELECT node::bigint, name::varchar FROM messagedb.proxy_nodes ORDER BY node
"""
"""The numbers and names of the nodes."""

NAMES_ON_NODES: Final = b"""
SELECT name FROM unnest($1::varchar[]) AS name WHERE messagedb.proxy_node(name) = ANY ($2::int[])
"""
"""Those of some streams or categories that the map has on some nodes."""

CATEGORIES_ON_SOME_NODES: Final = b"""
SELECT (found::json->>0)::varchar AS category, (found::json->>1)::bigint,
       (found::json->>2)::timestamp
FROM unnest($1::int[]) AS node, LATERAL messagedb.proxy_read_rows_on(
    node,
    format('SELECT * FROM messagedb.list_categories(%L, %L, %L)', $2::varchar, $3::boolean,
        $4::bigint)::varchar,
    true) AS found
ORDER BY category LIMIT $4::bigint
"""
"""The list of categories from some nodes."""

MESSAGE_PLACES: Final = b"""
SELECT stream_name::varchar, position FROM message_store.messages WHERE id = $1::uuid
"""
"""The place of a message by its id, as a query for nodes."""

ROWS_OF_ALL_NODES: Final = b"""
SELECT found FROM messagedb.proxy_read_rows_of_all($1::varchar, $2::boolean) AS found
"""
"""The rows of a query on all nodes, in no order."""
