"""Accounts over HTTP with Django: see docs/frameworks.md."""
