"""Accounts over HTTP with FastAPI: see docs/frameworks.md."""
