"""The end of a session."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..page import Page, change_route
from ..site import Site


def build_session_routes(site: Site) -> list[Route]:
    """Return the routes about sessions."""
    return [change_route(site, "/sign-out", sign_out, changes_store=False)]


async def sign_out(page: Page, form: dict[str, str]) -> Response:
    """End the session, and delete the cookie of this browser."""
    response = page.render("signed_out.html")
    page.end_session()
    base = str(page.request.scope.get("root_path", "")).rstrip("/") or "/"
    response.delete_cookie(page.site.signer.cookie_name, path=base)
    return response
