"""One claimed partition in its task: its run, and another one after a conflict of positions."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import Task
from messagedb._consumers.counters import Counters
from messagedb._errors import MessageDBError, PositionConflictError
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from .run_state import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._consumers.partition_claim import PartitionClaim

    from .consumer_run import AsyncConsumerRun
    from .partition_checks import AsyncMembership

# So many conflicts in so many seconds are those with a process that is no member.
_MAX_CONFLICTS = 5
_CONFLICT_SECONDS = 60.0


class AsyncPartitionRunner:
    """Runs a partition as long as its claim is held.

    Args:
        claim: the claim.
        membership: the process's, for the question who owns it.
        build_run: returns another run with a claim, and with these counters.
        on_end: called when it has ended.

    Attributes:
        claim: the same.
        run: the present run, or the last one.
        counters: those of all of its runs.
        failure: the error that is to end the consumer; None for none.
        is_given_up: True if it is to finish the present message and end.
        is_done: True if everything is handled that was to be.
    """

    def __init__(
        self,
        claim: PartitionClaim,
        membership: AsyncMembership,
        build_run: Callable[[PartitionClaim, Counters], AsyncConsumerRun],
        on_end: Callable[[], object],
    ) -> None:
        self.claim = claim
        self.counters = Counters()
        self.run = build_run(claim, self.counters)
        self.failure: BaseException | None = None
        self.is_given_up = False
        self.is_done = False
        self._membership = membership
        self._build_run = build_run
        self._on_end = on_end
        self._conflicts: list[float] = []
        self._task: Task[None] | None = None

    @property
    def number(self) -> int:
        """The partition's number."""
        return self.claim.number

    @property
    def has_ended(self) -> bool:
        """True if no handler of it runs any more."""
        return self._task is not None and self._task.is_done

    @property
    def task(self) -> Task[None]:
        """The task that it runs in."""
        assert self._task is not None
        return self._task

    def start(self) -> None:
        """Begin to run in a task."""
        self._task = Task(self._execute)

    def give_up(self) -> None:
        """Finish the present message, store the position, and end."""
        self.is_given_up = True
        self.run.state.signals.stop()

    def lose(self) -> None:
        """End without storing anything: another process may own the partition."""
        self.claim.is_lost = True
        self.give_up()

    async def _execute(self) -> None:
        try:
            while not self.is_given_up:
                await self._run_once()
                if self.failure is not None or self.is_done or not self.claim.is_held:
                    return
                self.run = self._build_run(self.claim, self.counters)
        finally:
            self._on_end()

    async def _run_once(self) -> None:
        run = self.run
        try:
            await run.execute_in_background()
        except PositionConflictError as error:
            if await self._is_ours(run) and not self._may_reload(error):
                self.failure = error
        except Exception as error:
            # What another process may handle now is no failure of this one.
            if self.claim.is_held:
                self.failure = error
        else:
            self.failure = run.exit
            self.is_done = run.has_reached_end

    async def _is_ours(self, run: AsyncConsumerRun) -> bool:
        """Return True if it is still stored that this process owns the partition."""
        if not self.claim.is_held:
            return False
        try:
            is_ours = await self._membership.owns(self.number, self.claim.epoch)
        except MessageDBError as error:
            if not is_transient_error(error):
                raise
            return True
        if not is_ours:
            self.claim.is_lost = True
            log.info("%s: another process owns the partition now", run.name)
        return is_ours

    def _may_reload(self, error: PositionConflictError) -> bool:
        """Return True if it may continue from the stored position, which is not its own."""
        now = monotonic()
        self._conflicts = [at for at in self._conflicts if now - at < _CONFLICT_SECONDS]
        self._conflicts.append(now)
        if len(self._conflicts) > _MAX_CONFLICTS:
            return False
        log.warning(
            "%s: it continues from the stored position: %s", self.run.name, format_error(error)
        )
        return True
