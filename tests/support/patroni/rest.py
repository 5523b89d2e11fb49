"""Patroni's REST API: who is the primary, and switching over."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any

from tests.support.patroni.configuration import Place


@dataclass(frozen=True)
class Member:
    """A node as Patroni sees it."""

    name: str
    role: str
    state: str
    timeline: int
    lag: object


def ask(
    place: Place,
    path: str,
    *,
    method: str = "GET",
    body: dict[str, str] | None = None,
    password: str = "",
    timeout: float = 3.0,
) -> tuple[int, str]:
    """Send a request to the Patroni of a node, and return status and body.

    Raises:
        OSError: it does not answer.
    """
    login = base64.b64encode(f"patroni:{password}".encode()).decode()
    connection = http.client.HTTPConnection(place.host, place.rest_port, timeout=timeout)
    try:
        connection.request(
            method,
            path,
            body=None if body is None else json.dumps(body),
            headers={"Authorization": f"Basic {login}"} if password else {},
        )
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError(f"{place.name} answered {path} with {error!r}") from error
    finally:
        connection.close()


def is_primary(place: Place) -> bool:
    """Return True if a node says that it is the primary, as HAProxy asks it."""
    try:
        return ask(place, "/primary")[0] == 200
    except OSError:
        return False


def members(answer: str) -> list[Member]:
    """Read the answer to ``GET /cluster``."""
    found: list[dict[str, Any]] = json.loads(answer)["members"]
    return [
        Member(
            name=str(each["name"]),
            role=str(each["role"]),
            state=str(each["state"]),
            timeline=int(each.get("timeline", 0)),
            lag=each.get("lag", 0),
        )
        for each in found
    ]


def not_whole(seen: list[Member], count: int) -> str:
    """Return what a cluster of so many nodes lacks, in words; an empty string if nothing.

    Whole is: a leader that runs, all others run and follow its timeline, one of them synchronous.
    """
    leaders = [each for each in seen if each.role == "leader"]
    if len(leaders) != 1:
        return f"{len(leaders)} leaders"
    if len(seen) != count:
        return f"{len(seen)} of {count} nodes"
    for each in seen:
        if each.state not in ("running", "streaming"):
            return f"{each.name} is {each.state}"
        if each.timeline != leaders[0].timeline:
            return f"{each.name} is on timeline {each.timeline}"
    if not any(each.role == "sync_standby" for each in seen):
        return "no synchronous standby"
    return ""
