"""The application: streams written with the version that the browser has seen, by its ETag."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from messagedb import ANY, AsyncClient, NewMessage, WrongExpectedVersionError
from messagedb.expected_version import ExpectedVersion


def create_app(url: str, category: str = "note") -> Starlette:
    """Create the application on a store."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, AsyncClient]]:
        async with AsyncClient(url) as client:
            yield {"client": client}

    def stream(request: Request) -> str:
        return f"{category}-{request.path_params['id']}"

    async def write(request: Request) -> Response:
        client: AsyncClient = request.state.client
        seen = request.headers.get("If-Match")
        expected: ExpectedVersion = ANY if seen is None else int(seen.strip('"'))
        text = (await request.body()).decode()
        position = await client.write_message(
            stream(request), NewMessage("Noted", {"text": text}), expected_version=expected
        )
        return Response(status_code=201, headers={"ETag": f'"{position}"'})

    async def read(request: Request) -> Response:
        client: AsyncClient = request.state.client
        notes = [message async for message in client.read_stream(stream(request))]
        version = notes[-1].position if notes else -1
        texts = [message.data["text"] for message in notes]
        return JSONResponse(texts, headers={"ETag": f'"{version}"'})

    async def conflict(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, status_code=412)

    return Starlette(
        routes=[
            Route("/notes/{id}", write, methods=["POST"]),
            Route("/notes/{id}", read, methods=["GET"]),
        ],
        lifespan=lifespan,
        exception_handlers={WrongExpectedVersionError: conflict},
    )
