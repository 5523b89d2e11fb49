"""What the consumers of one category and of several have in common: to run, stop, wait and tell."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import (
    CANCELLED,
    Interruptible,
    Task,
    is_of_this_half,
    on_signals,
)
from messagedb._concurrency.signals import end_process
from messagedb._consumers.failure_texts import reason_of
from messagedb._consumers.handler_registry import Handlers
from messagedb._consumers.settings import check_settings
from messagedb._errors import MessageDBError, ValidationError
from messagedb._messages.annotations import names_around
from messagedb._subscriptions.log_texts import text_of

from ..client_core.core import AsyncClientCore
from .consumer_run import Course
from .parked_messages import AsyncParkedMessages
from .position_reset import AsyncResetting
from .run_state import AsyncRun, Counts, log
from .status import AsyncWatching

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from typing import Self

    from messagedb._consumers.callables import AsyncResult, MessageGiven
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.annotations import Names
    from messagedb._messages.registry import MessageRegistry

    from ..client_core.core import AsyncClientCore
    from .context import AsyncContext, AsyncNamedHandler

F = TypeVar("F", bound="AsyncNamedHandler")
M = TypeVar("M", bound="MessageGiven")
R = TypeVar("R", bound="AsyncResult")


class AsyncConsumerBase(AsyncWatching, AsyncParkedMessages, AsyncResetting, ABC):
    """A consumer, of whatever it reads."""

    def __init__(self, client: AsyncClientCore, settings: ConsumerSettings) -> None:
        check_settings(settings)
        for function in settings.middleware:
            _check_kind("middleware", function)
        given = cast("object", client)
        if not isinstance(given, AsyncClientCore):
            wanted, other = AsyncClientCore.__name__, type(given).__name__
            raise ValidationError(
                f"a consumer of this kind takes a {wanted}, not {other}: the other kind goes to "
                "the other kind of consumer. Nothing was sent."
            )
        self._client = client
        self._settings = settings
        self._registry: MessageRegistry = client.registry
        self._handlers = Handlers(self._registry)
        self._counts = Counts()
        self._run: AsyncRun | None = None
        self._course: Course | None = None
        self._main: Interruptible[None] = Interruptible()
        # What is to be said of a handler that did not finish in time.
        self._unfinished = ""

    def __repr__(self) -> str:
        """Name the consumer and its state."""
        return f"<{type(self).__name__} {self.name!r} ({self.status().state})>"

    @abstractmethod
    def _wants(self, category: str) -> bool: ...

    @property
    def client(self) -> AsyncClientCore:
        """The client that it was made with."""
        return self._client

    @property
    def registry(self) -> MessageRegistry:
        """The classes of messages that handlers are given: the client's registry."""
        return self._registry

    @overload
    def handler(self, /, *message_types: str) -> Callable[[F], F]: ...

    @overload
    def handler(
        self, function: Callable[[M, AsyncContext], R], /
    ) -> Callable[[M, AsyncContext], R]: ...

    @overload
    def handler(self, function: Callable[[M], R], /) -> Callable[[M], R]: ...

    def handler(self, /, *arguments: Any) -> Any:
        """Let a coroutine function handle messages: a decorator.

        ``@consumer.handler`` on a function whose first parameter is annotated with a class of
        messages, or with several (``Deposited | Withdrawn``): it is given such an object, made of
        the data. A class that the registry does not have is added under its own name. Annotated
        with ``Message``, or not at all, it gets every message that no other handler is for.

        ``@consumer.handler("Deposited", …)`` names message types; the function is given the
        ``Message``.

        A second parameter, if there is one, is given the context. The function returns None, or
        raises or returns an outcome (``Skip()``, ``Park()``, ``Retry()``, ``Stop()``). Anything
        else stops the consumer before the message with ``HandlerError``, as it may be meant to say
        that the message was not handled. A message without a handler is passed over, and its
        position counts.

        Raises:
            ValidationError: the function is of the other kind, its annotation says nothing, or a
                type has a handler already.
        """
        around = names_around(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        if len(arguments) == 1 and not isinstance(arguments[0], str):
            self._add(arguments[0], (), around)
            return arguments[0]

        def add(function: F) -> F:
            self._add(function, arguments, around)
            return function

        return add

    def _add(self, function: Any, names: tuple[str, ...], around: Names) -> None:
        if self._run is not None and not self._run.finished.is_set():
            raise ValidationError(
                f"{self.name}: it runs already, and would not see another handler: add it before"
            )
        _check_kind("a handler", function)
        self._handlers.add(function, names, around)

    async def run(
        self,
        *,
        until: Literal["caught_up"] | None = None,
        signals: bool = False,
        stop_timeout: float = 10.0,
    ) -> None:
        """Handle messages until it is stopped.

        Another consumer with the same identifier keeps it waiting, and it takes over when that one
        ends. While the store is away it waits and tries again. In the end the message in hand is
        finished, and the position is stored.

        Args:
            until: ``"caught_up"`` to return when everything is handled that was there when it
                began.
            signals: whether SIGINT and SIGTERM stop it, as ``stop()`` does; a second one ends the
                process at once. In the main thread only; not in a web server, which takes them.
            stop_timeout: seconds that a handler has then to finish.

        Raises:
            HandlerError: a message could not be handled, and ``on_error`` says to stop, or its
                handler did. The position is stored before it.
            BaseException: what a handler raised that is no ``Exception``, such as ``SystemExit``:
                unchanged. No other attempt is made, and the position is stored before its message.
            PositionConflictError: another consumer stores positions under this identifier, or the
                position that is stored is none of this store. What is stored stays.
            LostHistoryError: the store has lost messages that were handled, and ``on_lost_history``
                says to stop; or no stored position is left to go on from.
            IncompatibleServerError: something on the server is missing; the text names the cure.
            TimeoutError: a handler did not finish in time after a stop, and was interrupted. Its
                message is handled again the next time.
            ValidationError: it runs already, or has no handler. Nothing was sent.
        """
        check_seconds("stop_timeout", stop_timeout)
        run = self._begin(until)
        if not signals:
            await self._run_once(run, until)
            return
        try:
            with on_signals(lambda number: Task(self._stop_by_signal, stop_timeout, number)):
                await self._run_once(run, until)
        except ValueError as error:
            if run.finished.is_set():
                raise
            self._run = None
            raise ValidationError(
                "signals=True works in the main thread only: run it there, or stop it yourself. "
                "Nothing was sent."
            ) from error

    @asynccontextmanager
    async def running(self, *, stop_timeout: float = 10.0) -> AsyncGenerator[Self]:
        """Run it in an asyncio task while a block runs, and stop it at the block's end.

        Args:
            stop_timeout: seconds that a handler has to finish then.

        Raises:
            MessageDBError: the run failed, as ``run()`` raises it: at the end of the block.
            TimeoutError: a handler did not finish in time.
        """
        check_seconds("stop_timeout", stop_timeout)
        run = self._begin(None)
        task = Task(self._run_aside, run)
        try:
            yield self
        finally:
            await self.stop(timeout=stop_timeout)
        await task.result()
        if run.was_exited is not None:
            raise run.was_exited

    async def stop(self, *, timeout: float = 10.0) -> None:
        """Let the handler in hand finish, store the position, and end. Does nothing if it ended.

        Not to be called by a handler, which would wait for itself: raise ``Stop`` there.

        Args:
            timeout: seconds to wait.

        Raises:
            TimeoutError: the handler did not finish in time. Its asyncio task is cancelled; what it
                had done so far stays (is rolled back, if transactional). The message is handled
                again the next time.
        """
        check_seconds("timeout", timeout)
        run, main = self._run, self._main
        if run is None:
            return
        run.stop()
        if await run.finished.wait(timeout):
            return
        message = run.in_hand
        self._unfinished = text = _unfinished(self.name, message, timeout)
        if main.interrupt():
            await run.finished.wait(timeout)
        elif self._course is not None:
            await self._course.save()
        raise TimeoutError(text)

    def _begin(self, until: Any) -> AsyncRun:
        if until not in (None, "caught_up"):
            raise ValidationError(f"until must be 'caught_up' or left out, not {until!r}")
        if self._run is not None and not self._run.finished.is_set():
            raise ValidationError(f"{self.name}: it runs already. Nothing was sent.")
        if not self._handlers:
            raise ValidationError(
                f"{self.name}: it has no handler, so that every message would be passed over. "
                "Decorate one with @consumer.handler. Nothing was sent."
            )
        self._run = AsyncRun(self.name, self._counts)
        self._main = Interruptible()
        self._course = None
        return self._run

    async def _run_once(self, run: AsyncRun, until: str | None) -> None:
        main = self._main
        by_type, catch_all = self._handlers.compiled(self._settings.middleware)
        self._course = course = Course(
            run, self._client, self._settings, self._feed(), by_type, catch_all, self._wants
        )
        try:
            await main.run(lambda: _unless_exited(run, course, until))
            if run.was_exited is not None:
                raise run.was_exited
            if main.was_interrupted:
                raise TimeoutError(self._unfinished)
        except Exception as error:
            run.state = "failed"
            run.failure = run.failure or error
            self._counts.last_error = reason_of(error)
            if isinstance(error, MessageDBError | TimeoutError):
                log.error("%s: it has stopped: %s", self.name, text_of(error))
            raise
        except BaseException as error:
            if error is run.was_exited:
                run.state = "failed"
                log.error("%s: it has ended: %s", self.name, reason_of(error))
            raise
        else:
            run.state = "stopped"
        finally:
            if run.state not in ("failed", "stopped"):
                run.state = "stopped"
            run.in_hand = None
            run.end()
            run.finished.set()

    async def _run_aside(self, run: AsyncRun) -> None:
        """Run beside others, whom what is no ``Exception`` would end with it."""
        try:
            await self._run_once(run, None)
        except BaseException as error:
            if error is not run.was_exited:
                raise

    async def _stop_by_signal(self, timeout: float, number: int) -> None:
        if not await self._stop_for(timeout, number):
            end_process(number)

    async def _stop_for(self, timeout: float, number: int | None) -> bool:
        """Stop because of a signal, or of another consumer that failed; tell whether it could."""
        log.info("%s: it is to stop%s", self.name, f", by signal {number}" if number else "")
        try:
            await self.stop(timeout=timeout)
        except TimeoutError as error:
            if not self._main.was_interrupted:
                # Nothing but its end ends a thread.
                log.critical("%s%s", error, " The process is ended." if number else "")
                return False
        return True


async def _unless_exited(run: AsyncRun, course: Course, until: str | None) -> None:
    """Run it, and keep what is no ``Exception``: raised here, it may never reach who runs it."""
    try:
        await course.go(until)
    except (Exception, CANCELLED):
        raise
    except BaseException as error:
        run.was_exited = error


def _check_kind(what: str, function: Any) -> None:
    if callable(function) and not is_of_this_half(function):
        wanted = "a coroutine function" if iscoroutinefunction(_probe) else "a plain function"
        name = getattr(function, "__qualname__", None) or repr(function)
        raise ValidationError(
            f"{what} of this consumer must be {wanted}, and {name} is of the other kind: write it "
            "anew, or take the other kind of consumer"
        )


async def _probe() -> None:
    """One of this half's kind."""


def _unfinished(name: str, message: Any, timeout: float) -> str:
    limit = f"within {timeout:g} s"
    if message is None:
        return (
            f"{name}: it did not end {limit} after the stop. What is handled and not stored is "
            "handled again when the consumer runs again."
        )
    what = f"the handler of message {message.position} of stream {message.stream_name!r}"
    return (
        f"{name}: {what} did not finish {limit} after the stop. The position is stored before its "
        "message, which is handled again when the consumer runs again."
    )
