"""The pages of the UI, found by their links, and how long each takes."""

from __future__ import annotations

import html
import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx2
from starlette.routing import Match, Route
from trials.figures import Run

from messagedb import AsyncClient
from messagedb._ui.shared_answers import SharedAnswers
from messagedb.ui import create_app
from pages.filling import LONG_NAME

R = TypeVar("R")

BASE = "http://127.0.0.1"
LONGEST_SECONDS = 1.0
LARGEST_RATIO = 5.0
LEAST_SECONDS = 0.02
"""Below this on the large store, a ratio says nothing but how fast the small one is."""

LINKED_ADDRESSES = 3
"""Addresses of one route that are opened at most, beside those that are named below."""

REPETITIONS = 7
"""Each address is opened so often on both stores in turn, and its shortest time counts."""
ENDLESS = ("/stream/live",)
"""Routes whose response does not end."""

EXACT = ("/metrics", "/message/stored", "/?exact=1")
"""Routes and addresses whose work is what was asked for: exact counts, or a whole field."""

FIRST = "/consumers, for the first time in a minute"
"""The page that looks for all consumers: its answer is shared for a minute."""

_SHARED_SECONDS = 30.0

SEEDS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/", {}),
    ("/category", {"name": "account1"}),
    ("/category", {"name": "account1", "prefix": "99"}),
    ("/category", {"name": "small99"}),
    ("/category", {"name": "long"}),
    ("/categories", {"after": "small5"}),
    ("/stream", {"name": "ledger-1"}),
    ("/stream", {"name": "ledger-1", "from": "oldest"}),
    ("/stream", {"name": "ledger-1", "position": "2000"}),
    ("/stream", {"name": "ledger-1", "time": "2020-01-01T00:00"}),
    ("/stream", {"name": "huge-1"}),
    ("/stream", {"name": "hostile-1"}),
    ("/stream", {"name": LONG_NAME}),
    ("/message", {"stream": "huge-1", "position": "0"}),
    *(("/message", {"stream": "hostile-1", "position": str(at)}) for at in (*range(8), 100)),
    ("/message", {"stream": "ledger-1", "position": "7", "look": "100000"}),
    ("/message", {"stream": "account0-0", "position": "0", "look": "100000"}),
    ("/go", {"q": "account1-7"}),
)

FIGURES = {
    "routes": "routes of the UI that were opened on both stores",
    "pages": "addresses that were opened",
    "failed": "responses with an error of the server (0)",
    "slow": "routes that took a second or more on the large store (0)",
    "growing": "routes that took more than five times as long on the large store (0)",
}

_LINK = re.compile(r'(?:href|action)="([^"]*)"')


class Pages:
    """The pages of one store: which there are, and how long each takes."""

    def __init__(self, app: Any, browser: httpx2.AsyncClient) -> None:
        self._app = app
        self._browser = browser
        self._linked: dict[str, int] = defaultdict(int)
        self.addresses: dict[str, list[str]] = defaultdict(list)
        self.seconds: dict[str, float] = {}
        self._shortest: dict[str, float] = {}
        self.largest: dict[str, int] = {}
        self.slowest: dict[str, str] = {}
        self.failures: list[str] = []

    async def look_for_consumers(self) -> None:
        """Open the list of consumers when nothing is shared yet, and keep its time."""
        begun = time.perf_counter()
        response = await self._browser.get("/consumers")
        self.seconds[FIRST] = time.perf_counter() - begun
        self.largest[FIRST] = len(response.content)
        self.slowest[FIRST] = "/consumers"

    async def explore(self) -> None:
        """Open the seeds and everything that they link to, a bounded number of each route."""
        waiting = [f"{path}?{urlencode(values)}" for path, values in SEEDS]
        named, seen = set(waiting), set(waiting)
        while waiting:
            address = waiting.pop(0)
            route = address if address in EXACT else self._find_route(address)
            if route is None:
                continue
            if address not in named:
                self._linked[route] += 1
                if self._linked[route] > LINKED_ADDRESSES:
                    continue
            self.addresses[route].append(address)
            response = await self._browser.get(address)
            if response.status_code >= 500:
                self.failures.append(f"{response.status_code} of {address:.200}")
            if not response.headers.get("content-type", "").startswith("text/html"):
                continue
            for link in _LINK.findall(response.text):
                target = urlsplit(html.unescape(link))
                found = f"{target.path}?{target.query}" if target.query else target.path
                if not target.netloc and found.startswith("/") and found not in seen:
                    seen.add(found)
                    waiting.append(found)

    async def measure(self) -> None:
        """Open each address once, and keep the shortest time of each so far."""
        for route, addresses in self.addresses.items():
            for address in addresses:
                begun = time.perf_counter()
                response = await self._browser.get(address)
                seconds = time.perf_counter() - begun
                self._shortest[address] = min(seconds, self._shortest.get(address, seconds))
                self.largest[route] = max(self.largest.get(route, 0), len(response.content))
            self.slowest[route] = max(addresses, key=lambda address: self._shortest[address])
            self.seconds[route] = self._shortest[self.slowest[route]]

    def _find_route(self, address: str) -> str | None:
        path = urlsplit(address).path
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "root_path": ""}
        for route in self._app.routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                is_left_out = route.path in ENDLESS or route.path.startswith("/static")
                return None if is_left_out or "sign" in route.path else route.path
        return None


def share_long_answers_only() -> None:
    """Let each request ask the store for what is kept for some seconds, to measure its queries."""
    share = SharedAnswers.get

    async def get(
        answers: SharedAnswers, key: str, seconds: float, ask: Callable[[], Awaitable[R]]
    ) -> R:
        if seconds < _SHARED_SECONDS:
            return await ask()
        return await share(answers, key, seconds, ask)

    setattr(SharedAnswers, "get", get)  # noqa: B010


async def open_pages(run: Run, stores: dict[int, str]) -> list[Pages]:
    """Return the measured pages of stores, by their sizes: in turn, as the machine may be busy."""
    async with AsyncExitStack() as stack:
        found: list[Pages] = []
        for size, store in stores.items():
            with run.part(f"look for the pages of {size:,} messages"):
                client = await stack.enter_async_context(AsyncClient(store))
                app = create_app(client, token="a token of this trial", allow_changes=True)
                transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
                browser = await stack.enter_async_context(
                    httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=60)
                )
                await browser.get("/", params={"token": "a token of this trial"})
                found.append(Pages(app, browser))
                await found[-1].look_for_consumers()
                await found[-1].explore()
        with run.part("open them all in turn"):
            for _ in range(REPETITIONS):
                for pages in found:
                    await pages.measure()
    return found


def compare(run: Run, small: Pages, large: Pages) -> None:
    """Print the times of each route on both stores, and record those that are too long."""
    rows: list[dict[str, Any]] = []
    print(f"\n{'route':44} {'small':>9} {'large':>9} {'ratio':>6} {'KB':>7}  slowest address")
    for route in sorted(small.seconds.keys() | large.seconds.keys()):
        first, second = small.seconds.get(route), large.seconds.get(route)
        if first is None or second is None:
            run.fail(f"{route} is linked in one of the stores only")
            continue
        ratio = second / first
        kilobytes = large.largest[route] / 1000
        print(
            f"{route:44} {first * 1000:6.1f} ms {second * 1000:6.1f} ms {ratio:6.2f}"
            f" {kilobytes:7.1f}  {large.slowest[route]:.90}"
        )
        rows.append(
            {
                "route": route,
                "small ms": round(first * 1000, 1),
                "large ms": round(second * 1000, 1),
                "ratio": round(ratio, 2),
                "KB": round(kilobytes, 1),
            }
        )
        run.figures.add(routes=1, pages=len(large.addresses[route]))
        if route in EXACT:
            continue
        if second >= LONGEST_SECONDS:
            run.figures.add(slow=1)
        if ratio > LARGEST_RATIO and second >= LEAST_SECONDS:
            run.figures.add(growing=1)
    for failure in small.failures + large.failures:
        run.figures.add(failed=1)
        run.fail(failure)
    run.add_fact("routes", rows)
