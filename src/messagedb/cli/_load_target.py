"""Loading of ``module:name``: an app, consumers, or a function that makes them."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from uuid import UUID

from messagedb import (
    AllConsumer,
    App,
    AsyncAllConsumer,
    AsyncApp,
    AsyncConsumer,
    AsyncReadModel,
    Consumer,
    MessageDBError,
    ReadModel,
    ValidationError,
    run_consumers,
    run_consumers_async,
)
from messagedb.app import AppConsumer, AppReadModel, AsyncAppConsumer, AsyncAppReadModel
from messagedb.consumers import ParkedMessage

from ._exit import exit_import_error
from ._store import StoreTarget
from ._wait_for_store import wait_for_store, wait_for_store_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Until: TypeAlias = Literal["caught_up"] | None
Rows: TypeAlias = list[dict[str, Any]]

R = TypeVar("R")

_SYNC = (Consumer, AllConsumer, ReadModel)
_ASYNC = (AsyncConsumer, AsyncAllConsumer, AsyncReadModel)
_OF_APPS = (AppConsumer, AppReadModel, AsyncAppConsumer, AsyncAppReadModel)


class ConsumerRunner(ABC):
    """Consumers of one variant, to be run together."""

    @abstractmethod
    def run(self, until: Until, stop_timeout: float) -> None:
        """Run them until one fails, a signal comes, or each has caught up."""

    @abstractmethod
    def replay(self, ids: list[UUID] | None, stream: str | None, until: int | None) -> Rows:
        """Handle parked messages again, and return how many were.

        Args:
            ids: the ids of the messages; None for all.
            stream: instead of ids, only those of this stream.
            until: only those up to this position in the stream.
        """


def load(target: str) -> Any:
    """Import the object that a target names, from the current folder too.

    Raises:
        ValidationError: there is no such module or name, or it is not of this form.
        Exit: the module failed; its traceback is printed.
    """
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise ValidationError(
            f"a target is module:name, such as app.consumers:mail, not {target!r}."
            f" {_describe_module(module_name)}".rstrip()
        )
    module = found = _import_module(module_name)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValidationError(
                f"module {module_name!r} has no {name!r}. {describe_targets(module)}"
            ) from None
    return found


def _describe_module(name: str) -> str:
    try:
        return describe_targets(_import_module(name)) if name else ""
    except ValidationError:  # there is no such module either
        return ""


def _import_module(name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise exit_import_error(error) from None  # an import inside the module itself
        raise ValidationError(
            f"there is no module {error.name!r}: start messagedb in the folder that contains it"
        ) from None
    except MessageDBError:  # one line says it all
        raise
    except Exception as error:
        raise exit_import_error(error) from None


def load_app(target: str) -> App | AsyncApp:
    """Import an app, or call the function without parameters that returns one.

    Raises:
        ValidationError: there is no such thing, or it is something else. Nothing was started.
    """
    found = load(target)
    if inspect.isfunction(found) and not inspect.signature(found).parameters:
        found = found()
    if not isinstance(found, (App, AsyncApp)):
        others = describe_targets(sys.modules[target.partition(":")[0]])
        raise ValidationError(
            f"{target} is {type(found).__name__}, and should be an App or an AsyncApp, or a"
            f" function that returns one. {others}"
        )
    return found


def describe_targets(module: ModuleType) -> str:
    """Return a sentence with the names of a module that can be run, apps first."""
    values = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    kinds: Sequence[Callable[[Any], bool]] = (
        lambda value: isinstance(value, (App, AsyncApp)),
        lambda value: isinstance(value, (*_SYNC, *_ASYNC)),
        lambda value: inspect.isfunction(value) and value.__module__ == module.__name__,
    )
    names = [name for is_kind in kinds for name, value in values.items() if is_kind(value)]
    return f"It has: {', '.join(names) or 'no app, no consumer and no function'}"


@contextmanager
def open_consumers(
    target: Any, store: StoreTarget, *, waits: bool = False
) -> Generator[ConsumerRunner]:
    """Create the consumers of a target for the block.

    Args:
        target: an app, a consumer, a read model, several of these in a list, a function that takes
            a client and returns such, or a coroutine function that returns those of the async
            variant.
        store: the store whose client is passed to a function; consumers have their own.
        waits: whether to wait for an unavailable store.

    Raises:
        ValidationError: it is none of these.
        StoreUnavailableError: the store is unavailable, for a reason that is not transient or
            without waiting.
    """
    if isinstance(target, App):
        with target.open(store.url) as opened:
            if waits:
                wait_for_store(opened.client, store.output)
            yield _SyncConsumerRunner(list(opened.list_members()))
    elif isinstance(target, AsyncApp):
        yield _AsyncConsumerRunner(store, app=target, waits=waits)
    elif inspect.iscoroutinefunction(target):
        yield _AsyncConsumerRunner(store, make=target, waits=waits)
    elif callable(target) and not isinstance(target, (*_SYNC, *_ASYNC)):
        with store.open_client(max_size=10, waits=waits) as client:
            yield _SyncConsumerRunner(_as_list(target(client), _SYNC))
    elif isinstance(target, _ASYNC) or (
        isinstance(target, list | tuple) and target and isinstance(target[0], _ASYNC)
    ):
        yield _AsyncConsumerRunner(store, _as_list(target, _ASYNC), waits=waits)
    else:
        ready = _as_list(target, _SYNC)
        try:
            if waits:
                for each in ready:
                    wait_for_store(_get_consumer(each).client, store.output)
            yield _SyncConsumerRunner(ready)
        finally:  # no other code closes a client that the module has made
            for each in ready:
                _get_consumer(each).client.close()


def _as_list(found: Any, kinds: tuple[type[Any], ...]) -> list[Any]:
    made: list[Any] = [found] if isinstance(found, kinds) else found
    if isinstance(found, _OF_APPS):
        raise ValidationError(
            "the target is a part of an app, which makes it when it opens: name the app, as in"
            " bank:app. Nothing was started."
        )
    if not isinstance(found, (*kinds, list, tuple)) or not made:
        raise ValidationError(
            f"the target is {type(found).__name__}, and should be an app, a consumer, a read model,"
            " a list of them, or a function that makes them of a client"
        )
    for each in made:
        if not isinstance(each, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise ValidationError(f"each of the target's consumers must be {names}, not {each!r}")
    return list(made)


class _SyncConsumerRunner(ConsumerRunner):
    def __init__(self, consumers: list[Any]) -> None:
        self._consumers = consumers

    def run(self, until: Until, stop_timeout: float) -> None:
        run_consumers(*self._consumers, until=until, stop_timeout=stop_timeout)

    def replay(self, ids: list[UUID] | None, stream: str | None, until: int | None) -> Rows:
        consumers = list(map(_get_consumer, self._consumers))
        if ids is None:
            return [
                _build_count_row(each, each.replay_parked(stream_name=stream, until=until))
                for each in consumers
            ]
        chosen = _select_parked([each.list_parked() for each in consumers], ids)
        return [
            _build_count_row(each, each.replay_parked(some))
            for each, some in zip(consumers, chosen, strict=True)
        ]


class _AsyncConsumerRunner(ConsumerRunner):
    def __init__(
        self,
        store: StoreTarget,
        ready: list[Any] | None = None,
        *,
        make: Callable[[Any], Awaitable[Any]] | None = None,
        app: AsyncApp | None = None,
        waits: bool = False,
    ) -> None:
        self._store = store
        self._waits = waits
        self._ready = ready
        self._make = make
        self._app = app

    def run(self, until: Until, stop_timeout: float) -> None:
        async def main() -> None:
            async with self._build() as consumers:
                await run_consumers_async(*consumers, until=until, stop_timeout=stop_timeout)

        run_loop(main)

    def replay(self, ids: list[UUID] | None, stream: str | None, until: int | None) -> Rows:
        async def main() -> Rows:
            async with self._build() as members:
                consumers = list(map(_get_consumer, members))
                if ids is None:
                    return [
                        _build_count_row(
                            each, await each.replay_parked(stream_name=stream, until=until)
                        )
                        for each in consumers
                    ]
                chosen = _select_parked([await each.list_parked() for each in consumers], ids)
                return [
                    _build_count_row(each, await each.replay_parked(some))
                    for each, some in zip(consumers, chosen, strict=True)
                ]

        return run_loop(main)

    @asynccontextmanager
    async def _build(self) -> AsyncGenerator[list[Any]]:
        if self._app is not None:
            async with self._app.open(self._store.url) as opened:
                if self._waits:
                    await wait_for_store_async(opened.client, self._store.output)
                yield list(opened.list_members())
            return
        if self._make is None:
            ready = self._ready or []
            try:
                if self._waits:
                    for each in ready:
                        client = _get_consumer(each).client
                        await wait_for_store_async(client, self._store.output)
                yield ready
            finally:
                for each in ready:
                    await _get_consumer(each).client.close()
            return
        async with self._store.open_async_client(waits=self._waits) as client:
            yield _as_list(await self._make(client), _ASYNC)


def _select_parked(parked: list[list[ParkedMessage]], ids: list[UUID]) -> list[list[ParkedMessage]]:
    known = {each.message_id for some in parked for each in some}
    for id in ids:
        if id not in known:
            raise ValidationError(
                f"no parked message of this consumer has the id {id}. Nothing was changed."
            )
    return [[each for each in some if each.message_id in ids] for some in parked]


def _get_consumer(member: Any) -> Any:
    """Return a consumer itself, and the consumer of a read model."""
    return member.consumer if isinstance(member, (ReadModel, AsyncReadModel)) else member


def _build_count_row(consumer: Any, count: int) -> dict[str, Any]:
    return {"consumer": consumer.status().name, "replayed": count}


def run_loop(function: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine function in a new event loop, one that psycopg can use."""
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(function())
