"""Who may see the UI: the token, sessions, authorize, hosts, other sites, and the headers."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from messagedb import AsyncClient, Client, ValidationError
from messagedb.ui import create_app
from tests.ui.conftest import TOKEN, Browse, sign_in

SECRET = "the secret of all workers"
SAME = {"Sec-Fetch-Site": "same-origin"}


def find_form_token(page: httpx2.Response) -> str:
    found = re.search(r'name="form_token" value="(\w+)"', page.text)
    assert found is not None
    return found[1]


async def test_without_the_token_a_page_says_where_to_find_it(
    client: AsyncClient, browse: Browse
) -> None:
    browser = browse(create_app(client, token=TOKEN))
    for parameters in ({}, {"token": "wrong"}):
        response = await browser.get("/", params=parameters)
        assert response.status_code == 401
        assert "<code>messagedb ui</code>" in response.text
        assert TOKEN not in response.text
        assert "Categories" not in response.text
    assert not browser.cookies


async def test_the_token_becomes_a_cookie_and_leaves_the_address(
    client: AsyncClient, browse: Browse
) -> None:
    browser = browse(create_app(client, token=TOKEN))
    response = await browser.get("/?a=1&token=the+token+of+the+tests")
    assert response.status_code == 303
    assert response.headers["location"] == "/?a=1"
    assert "HttpOnly; SameSite=Strict" in response.headers["set-cookie"]
    assert TOKEN not in response.headers["set-cookie"]
    assert (await browser.get("/")).status_code == 200


async def test_over_https_the_cookie_is_secure(client: AsyncClient, browse: Browse) -> None:
    browser = browse(create_app(client, token=TOKEN), base="https://127.0.0.1")
    assert "; Secure" in (await browser.get("/", params={"token": TOKEN})).headers["set-cookie"]


async def test_a_changed_cookie_is_no_session(browser: httpx2.AsyncClient) -> None:
    ((name, value),) = browser.cookies.items()
    browser.cookies.clear()
    for wrong in (value[:-1] + ("0" if value[-1] != "0" else "1"), "", "a:1:b", "x" * 5000):
        response = await browser.get("/", headers={"Cookie": f"{name}={wrong}"})
        assert response.status_code == 401


async def test_workers_with_one_secret_share_sessions(client: AsyncClient, browse: Browse) -> None:
    first = await sign_in(browse(create_app(client, token=TOKEN, secret=SECRET)))
    cookies = dict(first.cookies)
    second = browse(create_app(client, token=TOKEN, secret=SECRET), cookies=cookies)
    assert (await second.get("/")).status_code == 200
    for app in (
        create_app(client, token=TOKEN),
        create_app(client, token="the token of another", secret=SECRET),
    ):
        other = browse(app, cookies=cookies)
        assert (await other.get("/")).status_code == 401


async def test_a_scraper_sends_the_token_in_a_header(client: AsyncClient, browse: Browse) -> None:
    browser = browse(create_app(client, token=TOKEN))
    good = await browser.get("/", headers={"Authorization": f"Bearer {TOKEN}"})
    bad = await browser.get("/", headers={"Authorization": "Bearer x"})
    assert (good.status_code, bad.status_code) == (200, 401)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]:80"])
async def test_a_foreign_host_gets_a_page_that_says_why(
    browser: httpx2.AsyncClient, host: str
) -> None:
    response = await browser.get("/", headers={"Host": host})
    assert response.status_code == 400
    assert "--allowed-host" in response.text


@pytest.mark.parametrize("host", ["localhost:8030", "127.0.0.1", "[::1]:1", "LOCALHOST"])
async def test_this_machine_is_answered_at_any_port(browser: httpx2.AsyncClient, host: str) -> None:
    ((name, value),) = browser.cookies.items()
    response = await browser.get("/", headers={"Host": host, "Cookie": f"{name}={value}"})
    assert response.status_code == 200


async def test_other_hosts_are_answered_if_they_are_allowed(
    client: AsyncClient, browse: Browse
) -> None:
    app = create_app(client, token=TOKEN, allowed_hosts=["Shop.example"])
    assert (await browse(app, "http://shop.example").get("/")).status_code == 401
    assert (await browse(app).get("/")).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_a_change_from_elsewhere_is_refused(
    browser: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    token = find_form_token(await browser.get("/"))
    response = await browser.post("/sign-out", data={"form_token": token}, headers=headers)
    assert response.status_code == 403
    assert "Nothing was changed." in response.text


@pytest.mark.parametrize("given", ["", "x", "0" * 64])
async def test_a_form_without_its_token_is_refused(browser: httpx2.AsyncClient, given: str) -> None:
    response = await browser.post("/sign-out", data={"form_token": given}, headers=SAME)
    assert response.status_code == 403
    assert "CSRF" in response.text


@pytest.mark.parametrize("headers", [SAME, {"Origin": "http://127.0.0.1"}])
async def test_signing_out_ends_the_session_of_the_browser(
    browser: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    token = find_form_token(await browser.get("/"))
    response = await browser.post("/sign-out", data={"form_token": token}, headers=headers)
    assert response.status_code == 200
    assert (await browser.get("/")).status_code == 401


async def test_a_huge_form_is_refused(browser: httpx2.AsyncClient) -> None:
    response = await browser.post("/sign-out", content=b"a" * 100_000, headers=SAME)
    assert response.status_code == 413


async def test_every_response_has_the_headers(browser: httpx2.AsyncClient) -> None:
    for path in ("/", "/nosuch", "/static/ui.css", "/static/nosuch", "/?token=wrong"):
        headers = (await browser.get(path, headers={"Origin": "http://evil.example"})).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not [name for name in headers if name.startswith("access-control-")]
    assert (await browser.get("/")).headers["cache-control"] == "no-store"


async def test_pages_name_no_other_host_and_run_nothing_inline(
    browser: httpx2.AsyncClient,
) -> None:
    page = (await browser.get("/")).text
    assert not re.findall(r'(?:src|href|action)="(?!/|#)', page)
    assert not re.findall(r"<script(?! src=)|<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize("access", ["read", "change", None, "other", True])
async def test_your_function_decides(client: AsyncClient, browse: Browse, access: Any) -> None:
    asked: list[str] = []

    async def authorize(request: Request) -> Any:
        asked.append(request.url.path)
        return access

    response = await browse(create_app(client, authorize=authorize)).get("/")
    assert response.status_code == (200 if access in ("read", "change") else 401)
    assert asked == ["/"]


async def test_your_function_replaces_the_token(client: AsyncClient, browse: Browse) -> None:
    app = create_app(client, authorize=lambda request: None)
    assert app.state.token is None
    assert (await browse(app).get("/?token=")).status_code == 401


async def test_it_works_under_a_prefix(client: AsyncClient, browse: Browse) -> None:
    inner = create_app(client, token=TOKEN)
    browser = browse(Starlette(routes=[Mount("/tools/store", app=inner)]))
    response = await browser.get("/tools/store/", params={"token": TOKEN})
    assert response.headers["location"] == "/tools/store/"
    assert "Path=/tools/store;" in response.headers["set-cookie"]
    page = await browser.get("/tools/store/")
    assert page.status_code == 200
    assert not re.findall(r'(?:src|href|action)="/(?!tools/store)', page.text)
    style = re.search(r'href="([^"]+ui\.css[^"]+)"', page.text)
    assert style is not None
    assert (await browser.get(style[1])).headers["content-type"].startswith("text/css")
    assert 'aria-current="page">Overview' in page.text


async def test_the_access_log_of_the_server_has_no_token(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(client, token="0123456789abcdef")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        with caplog.at_level(logging.INFO, logger="uvicorn.access"):
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            async with httpx2.AsyncClient() as browser:
                for path in ("/?%74oken=0123456789abcdef&b=2", "/?b=2&token=wrongwrong"):
                    await browser.get(base + path)
            server.should_exit = True
            await serving
    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert len(lines) == 2
    assert all("/?b=2" in line and "token" not in line for line in lines)


async def test_a_cookie_is_refused_after_signing_out(client: AsyncClient, browse: Browse) -> None:
    app = create_app(client, token=TOKEN)
    browser = await sign_in(browse(app))
    cookies = dict(browser.cookies)
    page = await browser.get("/categories")
    token = re.search(r'name="form_token" value="(\w+)"', page.text)
    assert token is not None
    await browser.post("/sign-out", data={"form_token": token[1]}, headers=SAME)
    assert (await browse(app, cookies=cookies).get("/categories")).status_code == 401


async def test_a_store_that_does_not_answer_gets_a_page_within_the_time_limit(
    browse: Browse,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://ada@127.0.0.1:{silent.getsockname()[1]}/nosuch"
        client = AsyncClient(url, timeout=60)
        browser = await sign_in(browse(create_app(client, token=TOKEN, time_limit=0.1)))
        response = await browser.get("/categories")
        assert response.status_code == 503
        assert "does not answer" in response.text
    await client.close()


async def test_an_unavailable_store_gets_a_page_that_says_so(browse: Browse) -> None:
    secret = "hunter2hunter2"
    client = AsyncClient(f"postgresql://ada:{secret}@127.0.0.1:1/nosuch", timeout=0.5)
    browser = await sign_in(browse(create_app(client, token=TOKEN)))
    response = await browser.get("/")
    assert response.status_code == 503
    assert "127.0.0.1" in response.text
    assert secret not in response.text
    await client.close()


async def test_a_random_token_is_made_if_there_is_no_other_access(client: AsyncClient) -> None:
    tokens = {create_app(client).state.token for _ in range(2)}
    assert len(tokens) == 2
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize(
    "options",
    [
        {"token": "short"},
        {"secret": "short"},
        {"token": TOKEN, "authorize": print},
        {"authorize": "read"},
        {"redact": "all"},
        {"allowed_hosts": "localhost"},
        {"time_limit": 0},
    ],
)
def test_an_invalid_option_is_refused(store_url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        create_app(AsyncClient(store_url), **options)


def test_a_client_of_the_sync_variant_is_refused(store_url: str) -> None:
    client: Any = Client(store_url)
    with pytest.raises(ValidationError, match="async variant"):
        create_app(client)
