"""The application: one client for the process, a consumer beside it, and errors as HTTP errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeAlias

from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncEntityStore,
    MessageDBError,
)

from .accounts import DECIDER, Deposit, Deposited, InsufficientFunds, Withdraw, Withdrawn

CATEGORY = "account"


class Amount(BaseModel):
    amount: int = Field(gt=0)


class Balance(BaseModel):
    balance: int
    version: int


class Turnover:
    """A read model in memory, rebuilt from the beginning each time that the process starts.

    With several workers one of them updates it, and the others wait: then run the consumer in a
    separate process, and store the read model in a table.
    """

    def __init__(self) -> None:
        self.total = 0


def entities(request: Request) -> AsyncEntityStore[int, Deposit | Withdraw]:
    """Return the accounts, which live as long as the application."""
    accounts: AsyncEntityStore[int, Deposit | Withdraw] = request.app.state.accounts
    return accounts


Accounts: TypeAlias = Annotated[AsyncEntityStore[int, Deposit | Withdraw], Depends(entities)]
# A request that is sent twice with one key is handled once.
Key: TypeAlias = Annotated[str | None, Header(min_length=1, max_length=200)]


def create_app(url: str, category: str = CATEGORY) -> FastAPI:
    """Create the application on a store."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncClient(url) as client:
            turnover = app.state.turnover = Turnover()
            app.state.accounts = AsyncEntityStore(client, category, decider=DECIDER)
            consumer = app.state.consumer = AsyncConsumer(
                client, category, identifier="turnover", start="beginning"
            )

            @consumer.handler
            async def count(event: Deposited | Withdrawn) -> None:
                turnover.total += event.amount

            async with consumer.running():
                yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/accounts/{id}/deposits", status_code=201)
    async def deposit(
        id: str, body: Amount, accounts: Accounts, idempotency_key: Key = None
    ) -> Balance:
        done = await accounts.transact(id, Deposit(body.amount), id=idempotency_key)
        return Balance(balance=done.entity, version=done.version)

    @app.post("/accounts/{id}/withdrawals", status_code=201)
    async def withdraw(
        id: str, body: Amount, accounts: Accounts, idempotency_key: Key = None
    ) -> Balance:
        done = await accounts.transact(id, Withdraw(body.amount), id=idempotency_key)
        return Balance(balance=done.entity, version=done.version)

    @app.get("/accounts/{id}")
    async def balance(id: str, accounts: Accounts) -> Balance:
        found = await accounts.load(id)
        return Balance(balance=found.entity, version=found.version)

    @app.get("/turnover")
    async def turnover(request: Request) -> dict[str, int]:
        return {"total": request.app.state.turnover.total}

    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        status = request.app.state.consumer.status()
        is_well = status.state in ("starting", "waiting", "running", "caught up")
        content = {"consumer": status.state, "error": status.last_error}
        return JSONResponse(content, status_code=200 if is_well else 503)

    @app.exception_handler(InsufficientFunds)
    async def refused(request: Request, error: InsufficientFunds) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=409)

    @app.exception_handler(MessageDBError)
    async def failed(request: Request, error: MessageDBError) -> JSONResponse:
        if error.http_status == 500:
            raise error  # for the log, and for the tools that watch it
        headers = {"Retry-After": "1"} if error.http_status == 503 else {}
        return JSONResponse({"detail": str(error)}, error.http_status, headers)

    return app
