"""PostgreSQL servers that replicate, for the tests: links and power are cut, standbys promoted."""

from __future__ import annotations

from tests.support.replication.cluster import Cluster
from tests.support.replication.node import DATABASE, Node
from tests.support.replication.template import NoProgramsError, Template

__all__ = ["DATABASE", "Cluster", "NoProgramsError", "Node", "Template"]
