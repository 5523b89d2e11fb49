"""One request: its address, its access, and the response."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ..streams import category as get_category
from .failures import PageError, describe_failure
from .navigation import NAVIGATION
from .rendering.static_files import STATIC_VERSIONS
from .rendering.texts import hide_reason
from .security.signing import is_equal
from .settings import Access
from .site import Site
from .waiting import run_page

_logger = logging.getLogger("messagedb.ui")

VISIT = "messagedb.ui.visit"
"""The key of the Visit in a request's scope."""

_LARGEST_FORM = 65_536
_LONGEST_NAME = 300


class Visit(msgspec.Struct, frozen=True):
    """The access that a request has, and the id of its session."""

    access: Access
    session: str


class Page:
    """One request to the UI. Endpoints take it and return a response.

    Attributes:
        request: Starlette's request.
        site: the parts that all requests share.
    """

    def __init__(self, request: Request, site: Site) -> None:
        self.request = request
        self.site = site
        self._visit: Visit | None = request.scope.get(VISIT)

    @property
    def may_change(self) -> bool:
        """True if this request may change the store."""
        return (
            self._visit is not None
            and self._visit.access == "change"
            and self.site.settings.allow_changes
        )

    @property
    def is_redacted(self) -> bool:
        """True if data may not be shown as it is: neither in what errors say."""
        return self.site.settings.redact is not None

    @property
    def form_token(self) -> str:
        """The token for the forms of this page, in their field ``form_token``."""
        return self.site.signer.build_form_token(self._visit.session) if self._visit else ""

    def end_session(self) -> None:
        """Refuse the cookie of this request from now on."""
        if self._visit is not None:
            self.site.signer.end_session(self._visit.session)

    def get(self, name: str, default: str = "") -> str:
        """Return a parameter of the address."""
        return self.request.query_params.get(name, default)

    def get_integer(self, name: str, *, least: int = 0, most: int = 2**63 - 1) -> int | None:
        """Return a parameter of the address that is an integer; None if it is not there.

        Raises:
            PageError: it is not an integer in this range.
        """
        given = self.get(name).strip()
        if not given:
            return None
        if not (given.isascii() and given.isdigit() and len(given) < 20):
            raise PageError(400, f"{name} is not a number: {given!r:.60}")
        if not least <= int(given) <= most:
            raise PageError(400, f"{name} must be from {least} to {most}, not {given}")
        return int(given)

    def get_place(self) -> str:
        """Return the category or stream that the address is about; "" if it names none."""
        return self.get("in") or self.get("name")

    def is_of_place(self, stream_name: str) -> bool:
        """Return False if a stream is of another category than the one that the address is about.

        A global position may be of another message since the category was moved to another node.
        """
        return not self.site.has_nodes or get_category(stream_name) == self.get("in")

    def show_reason(self, reason: str) -> str:
        """Return the text of an error as this UI may show it: see ``redact`` of ``create_app``."""
        return hide_reason(reason) if self.is_redacted else reason

    def link(self, path: str, /, **parameters: object) -> str:
        """Return the address of a page of this UI, wherever it is mounted.

        Parameters that are None or empty are left out.
        """
        given = {name: value for name, value in parameters.items() if value not in (None, "")}
        query = urlencode(given, errors="surrogatepass")
        base = str(self.request.scope.get("root_path", "")).rstrip("/")
        return f"{base}{path}" + (f"?{query}" if query else "")

    def link_name(
        self, path: str, name: str, global_position: int | None, /, **parameters: object
    ) -> str:
        """Return the address of a page about a stream or a category.

        A long name is given by the global position of a message of it, to keep pages small.
        """
        is_long = len(name) > _LONGEST_NAME and global_position is not None
        named = {"of": global_position, **self._find_place(name)} if is_long else {"name": name}
        return self.link(path, **{**named, **parameters})

    def link_message(self, stream_name: str, global_position: int) -> str:
        """Return the address of the page of a message."""
        return self.link("/message", at=global_position, **self._find_place(stream_name))

    def _find_place(self, name: str) -> dict[str, str]:
        """Return the parameter that says which node a global position is of."""
        return {"in": get_category(name)} if self.site.has_nodes else {}

    def render(self, template: str, /, *, status: int = 200, **values: object) -> HTMLResponse:
        """Return a page made of a template. It is cut nowhere: its values have to be bounded."""
        return HTMLResponse(self.render_text(template, **values), status)

    def render_text(self, template: str, /, **values: object) -> str:
        """Return the HTML of a template with values and with the parts that all pages have."""
        settings = self.site.settings
        shared = {
            "page": self,
            "link": self.link,
            "reason": self.show_reason,
            "name_link": self.link_name,
            "message_link": self.link_message,
            "static": self._link_static,
            "navigation": NAVIGATION,
            "path": self._get_path(),
            "store_name": settings.name,
            "is_production": settings.production,
            "may_change": self.may_change,
            "is_known": self._visit is not None,
            "may_sign_out": self._visit is not None and settings.authorize is None,
            "form_token": self.form_token,
            "outages": (),
            "lacking": "",
            "now": datetime.now(UTC),
        }
        return self.site.templates.get_template(template).render({**shared, **values})

    def redirect(self, path: str, /, **parameters: object) -> RedirectResponse:
        """Return a redirect to a page of this UI, by GET."""
        return RedirectResponse(self.link(path, **parameters), 303)

    async def read_form(self) -> dict[str, str]:
        """Return the fields of the form that this request sends, of which each is there once.

        Raises:
            PageError: the form lacks the token of this session, or is too large.
        """
        body = b""
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > _LARGEST_FORM:
                raise PageError(413, "the form is larger than any of this UI")
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        given = form.pop("form_token", self.request.headers.get("x-form-token", ""))
        if not is_equal(self.form_token, given):
            raise PageError(
                403,
                "The form does not have the token of your session (CSRF).",
                "Nothing was changed. Open the page again, and send its form once more: the "
                "session may have ended meanwhile.",
            )
        return form

    def _link_static(self, name: str) -> str:
        return self.link(f"/static/{name}", v=STATIC_VERSIONS[name])

    def _get_path(self) -> str:
        root, path = self.request.scope.get("root_path", ""), self.request.url.path
        return path.removeprefix(root) or "/"


def respond_to_failure(page: Page, error: Exception) -> Response:
    """Return the page of an error, and log it if it is not known."""
    failure = describe_failure(error)
    if failure.status == 500:
        _logger.error("a page of the UI failed: %s", page.request.url.path, exc_info=error)
    return page.render("error.html", status=failure.status, failure=failure)


Endpoint: TypeAlias = Callable[[Page], Awaitable[Response]]


def page_route(site: Site, path: str, endpoint: Endpoint) -> Route:
    """Return the route of a page that only reads."""

    async def respond(request: Request) -> Response:
        page = Page(request, site)
        try:
            return await run_page(site, endpoint(page))
        except Exception as error:
            return respond_to_failure(page, error)

    return Route(path, respond, methods=["GET"], name=endpoint.__name__)


def change_route(
    site: Site,
    path: str,
    endpoint: Callable[[Page, dict[str, str]], Awaitable[Response]],
    *,
    changes_store: bool = True,
) -> Route:
    """Return the route of a form: it needs the token of the session, and usually the access.

    Args:
        site: the application.
        path: its path.
        endpoint: takes the page and the fields of the form.
        changes_store: whether it needs ``allow_changes`` and the access ``"change"``.
    """

    async def respond(request: Request) -> Response:
        page = Page(request, site)
        try:
            if changes_store and not page.may_change:
                raise PageError(
                    403,
                    "This UI may only read the store.",
                    "Nothing was changed. Start it with `--allow-changes` or "
                    "`create_app(allow_changes=True)`, and let `authorize` return 'change'.",
                )
            return await endpoint(page, await page.read_form())
        except Exception as error:
            return respond_to_failure(page, error)

    return Route(path, respond, methods=["POST"], name=endpoint.__name__)
