"""Accounts over HTTP with Flask: see docs/frameworks.md."""
