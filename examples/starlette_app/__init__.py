"""Notes over HTTP with Starlette: see docs/frameworks.md."""
