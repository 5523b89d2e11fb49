"""Patroni with etcd and HAProxy for the tests: nodes are switched over, killed and paused."""

from __future__ import annotations

from tests.support.patroni.cluster import PatroniCluster
from tests.support.patroni.programs import NoPatroniError

__all__ = ["NoPatroniError", "PatroniCluster"]
