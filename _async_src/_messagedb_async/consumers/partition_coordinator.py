"""The member of a partitioned consumer in one process: it looks, claims, gives up and loses."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._consumers.partition_claim import PartitionClaim
from messagedb._consumers.partition_plan import (
    find_free,
    find_next_expiry,
    plan_partitions,
)
from messagedb._consumers.partition_records import numbers_text
from messagedb._errors import MessageDBError
from messagedb._subscriptions.log_texts import format_error

from .partition_runner import AsyncPartitionRunner
from .run_state import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._consumers.counters import Counters
    from messagedb._consumers.partition_plan import PartitionLook

    from .consumer_run import AsyncConsumerRun
    from .partition_checks import AsyncMembership
    from .run_state import AsyncRunState

# Others may claim, for so long, a partition that was given up because a person wanted that.
_REQUESTED_SECONDS = 5.0
_MAX_LOOK_SECONDS = 1.0
# While partitions are free, or others are to give them up: meanwhile their messages wait.
_FREE_LOOK_SECONDS = 0.2
# A partition that is free for so long is not claimed by the process in whose share it is: that is
# paused or dead, too, which is not known before its membership ends.
_OVERDUE_SECONDS = 0.75
_AFTER_EXPIRY_SECONDS = 0.05


class AsyncPartitionCoordinator:
    """Keeps the partitions of one process in accordance with what is stored.

    Args:
        state: that of the consumer's run.
        membership: the process's.
        build_run: returns a run of a claimed partition.

    Attributes:
        runners: the partitions that run here, by number, also those whose claim is lost and whose
            handler has not returned.
        membership: the process's.
        look: the last look; None before the first one.
        is_settled: True if the last look found nothing to claim, and each other owner alive.
        on_change: called when partitions were gained or have ended.
        on_look: called with each look, before anything follows from it.
    """

    def __init__(
        self,
        state: AsyncRunState,
        membership: AsyncMembership,
        build_run: Callable[[PartitionClaim, Counters], AsyncConsumerRun],
    ) -> None:
        self.runners: dict[int, AsyncPartitionRunner] = {}
        self.look: PartitionLook | None = None
        self.is_settled = False
        self.on_change: Callable[[], object] = lambda: None
        self.on_look: Callable[[PartitionLook], object] = lambda look: None
        self._state = state
        self.membership = membership
        self._build_run = build_run
        self._interval = min(_MAX_LOOK_SECONDS, membership.timeout / 3)
        # Numbers that were claimed beyond the share, as a person wanted that.
        self._moved: set[int] = set()
        self._has_free = False
        # When a free partition was first seen as such; and until when one is kept beyond the share.
        self._free_since: dict[int, float] = {}
        self._extra_until: dict[int, float] = {}
        # Numbers that are not claimed for some time.
        self._left_until: dict[int, float] = {}
        # The expiry of each other member when it was first seen: one that was extended lives.
        self._first_seen: dict[str, int] = {}

    @property
    def owned(self) -> list[AsyncPartitionRunner]:
        """The partitions that the process owns, by number."""
        # A copy: another thread may change it.
        runners = list(self.runners.values())
        return sorted((each for each in runners if each.claim.is_held), key=_get_number)

    @property
    def is_finished(self) -> bool:
        """True if all partitions here are done, and the others are owned by processes that live."""
        return self.is_settled and all(runner.is_done for runner in self.runners.values())

    async def join(self) -> None:
        """Become a member.

        Raises:
            StoreUnavailableError: the store is unavailable.
        """
        await self.membership.join()
        log.info("%s: %s has joined", self._state.name, self.membership.name)

    async def wait(self) -> None:
        """Wait until it is time for the next turn, or something has changed."""
        seconds = min(self._interval, _FREE_LOOK_SECONDS) if self._has_free else self._interval
        if self.look is not None:
            # What an owner that is gone has had is free when its membership ends, and not later.
            expiry = find_next_expiry(self.look, self.membership.id) + _AFTER_EXPIRY_SECONDS
            seconds = min(seconds, max(expiry, _AFTER_EXPIRY_SECONDS))
        await self._state.signals.wake.wait(seconds)
        self._state.signals.wake.clear()

    async def take_turn(self) -> None:
        """Look, and do what follows from it.

        Raises:
            MessageDBError: the store is unavailable, or refused a statement. What was owned is
                owned until the membership ends.
        """
        if not self.membership.is_alive:
            self._lose_all("no sign of life in time")
            await self.membership.join()
            log.info("%s: %s has joined again", self._state.name, self.membership.name)
        look = await self.membership.look()
        if not look.is_member:
            self._lose_all("the membership has ended")
            return
        if self.look is not None and look.generation != self.look.generation:
            self._lose_all(f"there are {look.size} partitions now")
        for runner in self.owned:
            if runner.claim.limit != look.limit:
                # The change of the size has begun or ended: it is claimed again, and not lost.
                runner.give_up()
        self.look = look
        self.on_look(look)
        await self._follow(look)

    async def _follow(self, look: PartitionLook) -> None:
        held = {each.number: each.claim.epoch for each in self.owned}
        now = monotonic()
        self._left_until = {n: until for n, until in self._left_until.items() if until > now}
        plan = plan_partitions(
            look,
            self.membership.id,
            held,
            leaving=[each.number for each in self.owned if each.is_given_up],
            blocked=[*self.runners, *self._left_until],
            moved=self._moved,
            overdue=self._find_overdue(look, now),
            extra_count=sum(until > now for until in self._extra_until.values()),
            is_stopping=self._state.signals.is_stopping,
        )
        if plan.lost:
            self._lose(plan.lost, "another process owns them")
        requested = [each.number for each in look.partitions if each.is_release_requested]
        for number in plan.give_up:
            self.runners[number].give_up()
            if number in requested:
                self._left_until[number] = now + _REQUESTED_SECONDS
        await self._release_ended([each.number for each in plan.adopted])
        claimed: list[tuple[int, int]] = []
        if plan.claim_count:
            blocked = [*self.runners, *self._left_until, *plan.reserved]
            claimed = await self.membership.claim(look, plan.claim_count, blocked)
            self._start(claimed, look.limit)
            if plan.is_extra:
                until = monotonic() + self.membership.timeout
                self._extra_until |= {number: until for number, _ in claimed}
        elif plan.moving:
            others = {each.number for each in look.partitions}.difference(plan.moving)
            claimed = await self.membership.claim(look, 1, others)
            self._start(claimed, look.limit)
            self._moved.update(number for number, _ in claimed)
        self._has_free = plan.missing_count > 0 or plan.free_count > len(claimed)
        is_complete = not claimed and not plan.free_count and look.phase is None
        self.is_settled = is_complete and self._others_live(look)

    def _find_overdue(self, look: PartitionLook, now: float) -> list[int]:
        """Return the numbers of partitions that are free for long."""
        first_seen = {n: self._free_since.get(n, now) for n in find_free(look)}
        self._free_since = first_seen
        self._extra_until = {n: u for n, u in self._extra_until.items() if n in self.runners}
        return [n for n, since in first_seen.items() if now - since >= _OVERDUE_SECONDS]

    def _others_live(self, look: PartitionLook) -> bool:
        """Return True if each other member has shown that it lives since it was first seen."""
        others = [each for each in look.members if each.id != self.membership.id]
        first_seen = {each.id: self._first_seen.get(each.id, each.expires_at) for each in others}
        self._first_seen = first_seen
        return all(each.expires_at > first_seen[each.id] for each in others)

    def _start(self, claimed: list[tuple[int, int]], limit: int | None) -> None:
        membership, id = self.membership, self.membership.id

        def is_alive() -> bool:
            return membership.id == id and membership.is_alive

        for number, epoch in claimed:
            claim = PartitionClaim(number, epoch, is_alive, limit)
            wake = self._state.signals.wake.set
            self.runners[number] = AsyncPartitionRunner(claim, membership, self._build_run, wake)
        if claimed:
            numbers = numbers_text(number for number, _ in claimed)
            log.info("%s: partitions gained: %s", self._state.name, numbers)
            self.on_change()
        for number, _ in claimed:
            self.runners[number].start()

    async def _release_ended(self, adopted: list[int]) -> None:
        """Release the partitions whose run has ended, and those that were claimed unnoticed."""
        ended = [
            each
            for each in self.runners.values()
            if each.has_ended
            and (each.is_given_up or not each.is_done or each.claim.limit is not None)
        ]
        released = [each for each in ended if each.claim.is_held]
        for runner in ended:
            if runner.failure is not None:
                self._state.signals.fail(runner.failure)
        await self._finish([each for each in released if each.is_done])
        numbers = [*(each.number for each in released), *adopted]
        if numbers:
            await self.membership.release(numbers)
        self._remove(ended)
        if released:
            text = numbers_text(each.number for each in released)
            log.info("%s: partitions given up: %s", self._state.name, text)

    async def _finish(self, runners: list[AsyncPartitionRunner]) -> None:
        """Release the partitions that have reached the barrier of a change of the size."""
        for limit in {each.claim.limit for each in runners}:
            if limit is not None:
                numbers = [each.number for each in runners if each.claim.limit == limit]
                await self.membership.finish(numbers, limit)

    def _remove(self, runners: list[AsyncPartitionRunner]) -> None:
        for runner in runners:
            del self.runners[runner.number]
            self._moved.discard(runner.number)
            total, own = self._state.counters, runner.counters
            total.handled += own.handled
            total.parked += own.parked
            total.skipped += own.skipped
            total.last_error = own.last_error or total.last_error
        if runners:
            self.on_change()

    def _lose_all(self, reason: str) -> None:
        self.is_settled = False
        numbers = [each.number for each in self.runners.values() if not each.claim.is_lost]
        self._lose(numbers, reason)
        self._remove([each for each in self.runners.values() if each.has_ended])

    def _lose(self, numbers: list[int], reason: str) -> None:
        """End runs that store nothing more. A handler that runs is not interrupted."""
        for number in numbers:
            self.runners[number].lose()
        if numbers:
            text = "%s: partitions lost: %s: %s"
            log.warning(text, self._state.name, numbers_text(numbers), reason)

    async def end(self, *, is_cancelled: bool) -> None:
        """Release everything: wait for the handlers, and be no member any more.

        Meanwhile it shows that it lives: a handler may take its time.

        Args:
            is_cancelled: True if the handlers are not waited for.
        """
        while self.runners and not is_cancelled:
            self._give_up_all()
            try:
                if self.membership.is_alive:
                    await self.take_turn()
                else:
                    self._lose_all("no sign of life in time")
            except MessageDBError as error:
                log.debug("%s: %s", self._state.name, format_error(error))
                self._remove([each for each in self.runners.values() if each.has_ended])
            if self.runners:
                await self.wait()
        self._give_up_all()
        try:
            await self.membership.leave()
        except MessageDBError as error:
            log.warning(
                "%s: other processes have its partitions after %g s: %s",
                self._state.name,
                self.membership.timeout,
                format_error(error),
            )
        else:
            log.info("%s: %s has left", self._state.name, self.membership.name)

    def _give_up_all(self) -> None:
        for runner in self.runners.values():
            runner.give_up()


def _get_number(runner: AsyncPartitionRunner) -> int:
    return runner.number
