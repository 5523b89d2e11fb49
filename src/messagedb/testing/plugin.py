"""Fixtures for the suites of users: a server for the run, clients, categories."""

from __future__ import annotations
