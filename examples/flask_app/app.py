"""The application: one client for each process, opened by its first request."""

from __future__ import annotations

from typing import Any, TypeAlias

from flask import Flask, request

from messagedb import Client, MessageDBError, NewMessage

Answer: TypeAlias = tuple[dict[str, Any], int]


def create_app(url: str, category: str = "account") -> Flask:
    """Create the application on a store."""
    app = Flask(__name__)
    # Not open yet: servers such as gunicorn load the application, then fork. A client opens itself,
    # and after a fork the child opens a new pool.
    client = app.extensions["messagedb"] = Client(url)

    @app.post("/accounts/<id>/deposits")
    def deposit(id: str) -> Answer:
        amount = (request.get_json(silent=True) or {}).get("amount")
        if not isinstance(amount, int) or amount < 1:
            return {"detail": "amount must be an integer from 1"}, 422
        # A request that is sent twice with one key is one deposit.
        key = request.headers.get("Idempotency-Key")
        message = NewMessage("Deposited", {"amount": amount})
        position = client.write_message(f"{category}-{id}", message, id=key)
        return {"position": position}, 201

    @app.get("/accounts/<id>")
    def account(id: str) -> Answer:
        amounts = [message.data["amount"] for message in client.read_stream(f"{category}-{id}")]
        return {"balance": sum(amounts), "version": len(amounts) - 1}, 200

    @app.errorhandler(MessageDBError)
    def failed(error: MessageDBError) -> Answer:
        if error.http_status == 500:
            raise error  # for the log, and for the tools that watch it
        return {"detail": str(error)}, error.http_status

    return app
