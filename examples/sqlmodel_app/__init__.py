"""Orders over HTTP with FastAPI and SQLModel: a row and a message in one transaction."""
