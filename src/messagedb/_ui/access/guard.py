"""The guard before all pages: allowed hosts, other sites, and who may see anything."""

from __future__ import annotations

import inspect
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..failures import PageError
from ..page import VISIT, Page, Visit, respond_to_failure
from ..security.headers import SECURITY_HEADERS
from ..security.origins import SAFE_METHODS, find_foreign_reason, is_allowed_host
from ..security.signing import is_equal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ..settings import Access
    from ..site import Site

TOKEN = "token"
"""The parameter of the address that holds the token, until the first response."""


class Guard:
    """Lets a request pass if it may read, and adds the headers of security to every response."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        token = _take_token(scope)
        request = Request(scope, receive)
        cookie = ""

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, cookie)
            await send(message)

        try:
            self._check_place(request)
            visit, response, cookie = await self._admit(request, token)
        except Exception as error:
            response = respond_to_failure(Page(request, self._site), error)
        else:
            if visit is not None:
                scope[VISIT] = visit
        await (self._app if response is None else response)(scope, receive, send_guarded)

    def _check_place(self, request: Request) -> None:
        """Refuse foreign hosts and sites.

        Raises:
            PageError: 400 for a host, 403 for a site.
        """
        hosts = request.headers.getlist("host")
        if not is_allowed_host(hosts, self._site.settings.allowed_hosts):
            shown = ", ".join(hosts) or "no host"
            raise PageError(
                400,
                f"This UI does not answer to the host {shown:.200}.",
                "If the name is right, allow it: `--allowed-host NAME`, or "
                "`create_app(allowed_hosts=[…])`. Otherwise another site may be misusing your "
                "browser.",
            )
        reason = find_foreign_reason(
            request.method,
            hosts[0],
            request.headers.get("sec-fetch-site"),
            request.headers.get("origin"),
        )
        if reason is not None:
            raise PageError(403, f"The request was refused: {reason:.200}.", "Nothing was changed.")

    async def _admit(
        self, request: Request, token: str | None
    ) -> tuple[Visit | None, Response | None, str]:
        """Return the visit, or a response instead of the page, and the cookie to set.

        Raises:
            PageError: 401, for requests without access.
        """
        site, signer = self._site, self._site.signer
        if _get_path(request).startswith("/static/"):
            return None, None, ""
        access: Access = "change"
        if site.settings.authorize is not None:
            allowed = await _ask(site.settings.authorize, request)
            access = "change" if allowed == "change" else "read"
            if allowed not in ("read", "change"):
                raise PageError(
                    401, "Your application does not let you see this store.", "Log in there first."
                )
        elif token is not None:
            self._check_token(token)
            if request.method in SAFE_METHODS:
                _, value = signer.start_session(time.time())
                return (
                    None,
                    RedirectResponse(_get_address(request), 303),
                    self._bake(request, value),
                )
        session = signer.read_session(request.cookies.get(signer.cookie_name), time.time())
        if session is not None:
            return Visit(access, session), None, ""
        session, value = signer.start_session(time.time())
        if site.settings.authorize is None:
            self._check_token(_get_bearer(request))
            return Visit(access, session), None, ""
        return Visit(access, session), None, self._bake(request, value)

    def _check_token(self, given: str | None) -> None:
        if not is_equal(self._site.settings.token or "", given or ""):
            wrong = "That token is not the one of this UI." if given else "There is no session yet."
            raise PageError(
                401,
                wrong,
                "The right address is the line that `messagedb ui` printed when it started: "
                "`http://…/?token=…`. A token of an earlier start does not work. An application "
                "that mounts this UI has it as `app.state.token`, or passes `authorize=`.",
            )

    def _bake(self, request: Request, value: str) -> str:
        path = str(request.scope.get("root_path", "")).rstrip("/") or "/"
        secure = "; Secure" if request.url.scheme == "https" else ""
        name = self._site.signer.cookie_name
        return f"{name}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}"


async def _ask(authorize: Any, request: Request) -> Any:
    found = authorize(request)
    return await found if inspect.isawaitable(found) else found


def _take_token(scope: Scope) -> str | None:
    """Remove the token from the address, also from the one that the server's access log has."""
    query: bytes = scope.get("query_string", b"")
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given = [value for name, value in pairs if name == TOKEN]
    if not given:
        return None
    left = urlencode([pair for pair in pairs if pair[0] != TOKEN])
    scope["query_string"] = left.encode("ascii")
    return given[-1]


def _get_bearer(request: Request) -> str | None:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def _get_path(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(str(request.scope.get("root_path", "")))


def _get_address(request: Request) -> str:
    # A path that begins with two slashes would be another host.
    path = "/" + request.url.path.lstrip("/\\")
    return path + (f"?{request.url.query}" if request.url.query else "")


def _add_headers(message: MutableMapping[str, Any], cookie: str) -> None:
    headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    present = {name.lower() for name, _ in headers}
    for name, value in SECURITY_HEADERS.items():
        if name.lower().encode() not in present:
            headers.append((name.lower().encode(), value.encode()))
    if cookie:
        headers.append((b"set-cookie", cookie.encode("latin-1")))
    message["headers"] = headers
