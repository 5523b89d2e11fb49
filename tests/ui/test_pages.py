"""The pages that show a store: categories, streams, messages, and the box that finds them."""

from __future__ import annotations

import html
import re
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import psycopg
import pytest

from messagedb import AsyncClient, Message, MessageRegistry, Metadata, NewMessage
from messagedb.ui import create_app
from tests.ui.conftest import TOKEN, Browse, sign_in

LIMIT = 100_000
"""Bytes of a page."""

HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "\u202eexe.txt",
    "a\x01\x1b[31mb\x7f\n",
    "50% off/../?x=1&y=2#z",
    "{{ 7 * 7 }}",
    "ﷺ" * 300,
    "n" * 2600,
]


def read(response: httpx2.Response) -> str:
    """Return the text of a page as a reader sees it, without the tags."""
    assert response.status_code == 200, response.text
    assert len(response.content) < LIMIT
    main = response.text.partition("<main")[2].partition("</main>")[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", main)))


def find_positions(response: httpx2.Response) -> list[int]:
    """Return the positions in the first column of the page of a stream."""
    found = re.findall(r'data-label="Position" class="num"><a [^>]*>([\d,]+)<', response.text)
    return [int(each.replace(",", "")) for each in found]


async def write(client: AsyncClient, stream: str, count: int) -> None:
    messages = [NewMessage("Noted", {"number": number}) for number in range(count)]
    await client.write_messages(stream, messages)


async def get_last(client: AsyncClient, stream: str) -> Message[Any]:
    message = await client.get_last_stream_message(stream)
    assert message is not None
    return message


async def test_the_overview_says_what_the_store_is(new_database: Any, browse: Browse) -> None:
    async with AsyncClient(new_database()) as client:
        await write(client, "account-1", 3)
        browser = await sign_in(browse(create_app(client, token=TOKEN)))
        text = read(await browser.get("/"))
        assert "counted" in text
        assert "message_store" in text
        assert "Largest categories" in text
        assert "Counted." in read(await browser.get("/?exact=1"))


async def test_an_empty_store_says_how_to_write(new_database: Any, browse: Browse) -> None:
    async with AsyncClient(new_database()) as client:
        browser = await sign_in(browse(create_app(client, token=TOKEN)))
        for path in ("/", "/categories"):
            assert "messagedb write account-123" in read(await browser.get(path))


async def test_a_large_store_is_estimated(
    client: AsyncClient,
    browser: httpx2.AsyncClient,
    category: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await write(client, f"{category}-1", 200)
    monkeypatch.setattr("messagedb._ui.overview.queries.EXACT_UP_TO", 10)
    monkeypatch.setattr("messagedb._ui.overview.view.EXACT_UP_TO", 10)
    monkeypatch.setattr("messagedb._ui.overview.view.SAMPLED_PAGES", 1)
    text = read(await browser.get("/"))
    assert "estimated from the table" in text
    assert "Estimated from a sample" in text
    assert "≈" in text


async def test_a_count_that_takes_too_long_is_left_out(
    client: AsyncClient, browse: Browse, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(client, f"{category}-1", 1)
    slow = "SELECT pg_sleep(9)::text, {limit} FROM {table} {sample} LIMIT 1"
    monkeypatch.setattr("messagedb._ui.overview.queries._SAMPLE", slow)
    browser = await sign_in(browse(create_app(client, token=TOKEN, time_limit=0.2)))
    text = read(await browser.get("/?exact=1"))
    assert "Left out: counting took longer than the time limit." in text
    assert "Last global position" in text


async def test_categories_and_streams_are_paged_by_names(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    for number in range(53):
        await write(client, f"{category}-{number:03}", 1)
    found: list[str] = []
    path = f"/category?name={category}"
    while path:
        page = await browser.get(path)
        found += re.findall(rf">({category}-\d+)</bdi></a></td>\s*<td data-label=\"Last", page.text)
        more = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = html.unescape(more[1]) if more else ""
    assert found == [f"{category}-{number:03}" for number in range(53)]
    some = await browser.get("/category", params={"name": category, "prefix": "05"})
    assert re.findall(rf">({category}-\d+)</bdi></a></td>\s*<td data-label=\"Last", some.text) == [
        f"{category}-{number:03}" for number in (50, 51, 52)
    ]
    none = read(await browser.get("/category", params={"name": category, "prefix": "x"}))
    assert "No stream of this category has an id that begins with x" in none
    listed = read(await browser.get("/categories", params={"after": category[:-1]}))
    assert category in listed


async def test_an_unknown_category_is_not_found(browser: httpx2.AsyncClient, category: str) -> None:
    assert (await browser.get("/category", params={"name": category})).status_code == 404
    page = await browser.get("/stream", params={"name": f"{category}-1"})
    assert page.status_code == 404
    assert "This stream has no messages." in page.text
    for path in ("/category", "/stream", "/stream?name=%00", "/stream?name=a&position=x"):
        assert (await browser.get(path)).status_code == 400


async def test_a_stream_is_read_from_five_places(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    name = f"{category}-1"
    await write(client, name, 120)

    async def look(**parameters: Any) -> list[int]:
        page = await browser.get("/stream", params={"name": name, **parameters})
        assert len(page.content) < LIMIT
        return find_positions(page)

    assert await look() == list(range(119, 69, -1))
    assert await look(older=69) == list(range(69, 19, -1))
    assert await look(older=19) == list(range(19, -1, -1))
    assert await look(newer=50) == list(range(99, 49, -1))
    assert await look(**{"from": "oldest"}) == list(range(49, -1, -1))
    assert await look(position=7) == list(range(56, 6, -1))
    assert await look(position=500) == []
    assert await look(time="2000-01-01T00:00") == list(range(49, -1, -1))
    assert await look(time="2999-01-01T00:00") == [119]
    assert (await browser.get("/stream", params={"name": name, "time": "noon"})).status_code == 400


async def test_a_time_leads_to_the_first_message_from_then_on(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    name = f"{category}-1"
    for _ in range(9):
        await write(client, name, 1)
    messages = await client.get_stream_messages(name)
    for message in messages[1:]:
        page = await browser.get("/stream", params={"name": name, "time": message.time.isoformat()})
        assert find_positions(page)[-1] == message.position


async def test_the_buttons_of_a_stream_are_always_there(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    await write(client, f"{category}-1", 2)
    page = await browser.get("/stream", params={"name": f"{category}-1"})
    for name in ("Newest", "Newer", "Older", "Oldest"):
        assert f'aria-disabled="true">{name}<' in page.text


async def test_a_message_is_shown_with_all_digits(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    name = f"{category}-1"
    data: dict[str, Any] = {
        "large": 12345678901234567890123,
        "list": [1, [True, None]],
        "empty": {},
    }
    await client.write_message(name, NewMessage("Noted", data, metadata={"extra": "x"}))
    message = await get_last(client, name)

    async def look(**parameters: Any) -> str:
        """Return the page without the age of the message."""
        page = read(await browser.get("/message", params=parameters))
        return re.sub(r"\d+ \w+ ago", "", page)

    by_id = await look(id=message.id)
    assert "12345678901234567890123" in by_id
    assert "extra" in by_id
    assert str(message.id) in by_id
    assert await look(at=message.global_position) == by_id
    assert await look(stream=name, position=0) == by_id
    missing: list[dict[str, Any]] = [
        {"id": str(uuid4())},
        {"at": 2**62},
        {"stream": name, "position": 9},
    ]
    for parameters in missing:
        assert (await browser.get("/message", params=parameters)).status_code == 404
    wrong: list[dict[str, Any]] = [{}, {"id": "x"}, {"at": "-1"}, {"at": 2**63}]
    for parameters in wrong:
        assert (await browser.get("/message", params=parameters)).status_code == 400


async def test_the_stored_text_can_be_downloaded(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    await client.write_message(f"{category}-1", NewMessage("Noted", {"a": 1}))
    message = await get_last(client, f"{category}-1")
    shown = await browser.get("/message/stored", params={"id": str(message.id)})
    assert (shown.text, shown.headers["content-type"]) == ('{"a": 1}', "text/plain; charset=utf-8")
    parameters = {"id": str(message.id), "field": "metadata", "as": "file"}
    file = await browser.get("/message/stored", params=parameters)
    assert file.text == "null"
    assert file.headers["content-disposition"].startswith("attachment; filename=")
    assert file.headers["x-content-type-options"] == "nosniff"
    wrong = await browser.get("/message/stored", params={**parameters, "field": "id"})
    assert wrong.status_code == 400


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_names_and_data_are_text(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str, text: str
) -> None:
    name = f"{category}-{text}"[:2600]
    data = {text: [text, {"a": text}]}
    await client.write_message(name, NewMessage(text, data, metadata={"extra": text}))
    message = await get_last(client, name)
    for path, parameters in (
        ("/stream", {"name": name}),
        ("/stream", {"of": message.global_position}),
        ("/category", {"name": category}),
        ("/message", {"at": message.global_position}),
    ):
        page = await browser.get(path, params=parameters)
        read(page)
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        outside = re.sub("<[^>]*>", "", re.sub("(?s)<pre.*?</pre>", "", page.text))
        assert not re.findall(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", outside)
        assert "7 * 7" not in text or path == "/category" or "{{ 7 * 7 }}" in page.text
        links = re.findall(r'href="(/stream\?[^"]+)"', page.text)
        for link in links[:3]:
            assert (await browser.get(html.unescape(link))).status_code == 200
    found = await browser.get("/go", params={"q": name})
    if name == name.strip():
        assert found.status_code == 303


@pytest.mark.parametrize("stored", ["[1, 2]", '"text"', "null", "12.50", "true"])
async def test_json_that_is_not_an_object_is_shown(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str, stored: str
) -> None:
    name = f"{category}-1"
    async with client.transaction() as tx:
        await tx.connection.execute(
            "SELECT message_store.write_message(%s, %s, 'Odd', %s::jsonb, %s::jsonb)",
            [str(uuid4()), name, stored, stored],
        )
    message = await get_last(client, name)
    text = read(await browser.get("/message", params={"at": message.global_position}))
    assert stored in text
    read(await browser.get("/stream", params={"name": name}))


async def test_huge_data_says_what_is_left_out(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    name = f"{category}-1"
    await client.write_message(name, NewMessage("Long", {"text": "x" * 300_000}))
    await client.write_message(name, NewMessage("Wide", {"list": list(range(100_000))}))
    await client.write_message(name, NewMessage("Deep", {"text": "a" * 1_500_000}))
    expected = ["300,000 characters", "more are not shown here", "More than 1,000,000 characters"]
    for message, words in zip(await client.get_stream_messages(name), expected, strict=True):
        text = read(await browser.get("/message", params={"at": message.global_position}))
        assert words in text
    assert "(large)" in read(await browser.get("/stream", params={"name": name}))


class Paid(msgspec.Struct):
    """A message class of the tests."""

    amount: int
    card: str = "none"


async def test_a_registry_decodes_messages(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    registry = MessageRegistry()
    registry.add(Paid)
    browser = await sign_in(browse(create_app(client, token=TOKEN, registry=registry)))
    await client.write_message(f"{category}-1", NewMessage("Paid", {"amount": 7}))
    await client.write_message(f"{category}-1", NewMessage("Paid", {"amount": "seven"}))
    await client.write_message(f"{category}-1", NewMessage("Other", {"amount": "seven"}))
    texts = [
        read(await browser.get("/message", params={"at": message.global_position}))
        for message in await client.get_stream_messages(f"{category}-1")
    ]
    assert re.search(r'As Paid .* card " none "', texts[0])
    assert "cannot be decoded" in texts[1]
    assert "decoded by the registry" not in texts[2]


async def test_redacted_data_is_on_no_page(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    def redact(message_type: str, value: Any) -> Any:
        if message_type == "Broken":
            raise RuntimeError("a mistake")
        return {**value, "card": "hidden here"} if "card" in value else value

    registry = MessageRegistry()
    registry.add(Paid)
    app = create_app(client, token=TOKEN, registry=registry, redact=redact)
    browser = await sign_in(browse(app))
    name, secret = f"{category}-1", "4111111111111111"
    for type in ("Paid", "Broken"):
        data = {"card": secret, "amount": 1.10}
        await client.write_message(name, NewMessage(type, data, metadata=data))
    large = {"card": secret, "rest": "x" * 1_100_000}
    await client.write_message(name, NewMessage("Paid", large))
    paths = [f"/stream?name={name}", f"/category?name={category}"]
    for message in await client.get_stream_messages(name):
        paths.append(f"/message?at={message.global_position}")
        for field in ("data", "metadata"):
            paths.append(f"/message/stored?id={message.id}&field={field}")
    pages = [(await browser.get(path)) for path in paths]
    assert {page.status_code for page in pages} == {200}
    assert not [page.url for page in pages if secret in page.text]
    assert "hidden here" in pages[2].text
    assert "1.1" in pages[2].text


async def test_redacted_metadata_names_no_stream(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    app = create_app(client, token=TOKEN, redact=lambda type, value: "(hidden)")
    browsers = [await sign_in(browse(each)) for each in (app, create_app(client, token=TOKEN))]
    metadata = {
        "correlationStreamName": "customer-SECRET",
        "replyStreamName": "reply-SECRET",
        "causationMessageStreamName": "cause-SECRET",
        "causationMessagePosition": 7,
    }
    for _ in range(2):
        await client.write_message(f"{category}-1", NewMessage("Paid", {}, metadata=metadata))
    first = (await client.get_stream_messages(f"{category}-1"))[0]
    hidden, shown = [await each.get(f"/message?at={first.global_position}") for each in browsers]
    for each in ("customer-SECRET", "reply-SECRET", "cause-SECRET"):
        assert each in shown.text
        assert each not in hidden.text
    other = f"{category}-1</bdi>/1"
    assert (other in shown.text, other in hidden.text) == (True, False)
    assert hidden.status_code == 200


async def test_an_address_that_no_store_can_have_is_refused(browser: httpx2.AsyncClient) -> None:
    assert (await browser.get("/message?stream=%00")).status_code == 400
    headers = {"Last-Event-ID": "9" * 5000}
    assert (await browser.get("/stream/live?name=a-1", headers=headers)).status_code == 400


async def test_a_store_that_is_not_installed_is_called_so(
    new_database: Any, browse: Browse
) -> None:
    client = AsyncClient(new_database(), schema="nosuch")
    browser = await sign_in(browse(create_app(client, token=TOKEN)))
    response = await browser.get("/categories")
    health = await browser.get("/health")
    await client.close()
    assert response.status_code == 503
    assert "not installed" in response.text
    assert "1 problem" in read(health)
    assert "not installed" in health.text


async def test_the_box_goes_to_what_is_typed(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    await write(client, f"{category}-one", 1)
    message = await get_last(client, f"{category}-one")
    at = f"/message?at={message.global_position}"
    for typed, place in {
        f" {category}-one ": f"/stream?name={category}-one",
        category: f"/category?name={category}",
        str(message.id): f"/message?id={message.id}",
        str(message.id).upper().replace("-", ""): f"/message?id={message.id}",
        str(message.global_position): at,
        f"{category}-one/0": at,
    }.items():
        response = await browser.get("/go", params={"q": typed})
        assert (response.status_code, response.headers["location"]) == (303, place)
    similar = await browser.get("/go", params={"q": f"{category}-on"})
    assert similar.status_code == 404
    assert f">{category}-one</bdi>" in similar.text
    assert (await browser.get("/go")).status_code == 400


async def test_cause_and_effect_can_be_walked(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    first = f"{category}-first"
    await client.write_message(
        first, NewMessage("Began", metadata=Metadata(correlation_stream_name=f"{category}-c"))
    )
    began = await get_last(client, first)
    for stream, type in (("second", "Went"), ("third", "Ended")):
        before = began if stream == "second" else await get_last(client, f"{category}-second")
        following = NewMessage(type, metadata=Metadata.following(before))
        await client.write_message(f"{category}-{stream}", following)
    await client.write_message(
        f"{category}-x",
        NewMessage("Alike", metadata=Metadata(correlation_stream_name=f"{category}-c")),
    )
    for message in await client.get_category_messages(category):
        page = await browser.get("/message", params={"at": message.global_position})
        nodes = re.findall(r'<a data-node href="([^"]+)"', page.text)
        if message.type == "Alike":
            assert len(nodes) == 1
            continue
        text = read(page)
        assert re.search("Level 0: Began .* Level 1: Went .* Level 2: Ended", text)
        level = ("Began", "Went", "Ended").index(message.type)
        assert f'aria-current="true"><span class="hidden">Level {level}:' in page.text
        # "Alike" is no effect, and begins another tree.
        assert len(nodes) == 4
        assert "Alike +" in text
        assert text.count("same correlation") == 1
        assert "the end of the store" in text
        for node in nodes:
            assert (await browser.get(html.unescape(node))).status_code == 200


async def test_causes_in_a_circle_end(
    client: AsyncClient, browser: httpx2.AsyncClient, category: str
) -> None:
    name = f"{category}-1"
    for position in (1, 0):
        metadata = Metadata(causation_message_stream_name=name, causation_message_position=position)
        await client.write_message(name, NewMessage("Circle", metadata=metadata))
    message = await get_last(client, name)
    read(await browser.get("/message", params={"at": message.global_position}))


async def test_a_slow_query_is_left_out_and_says_so(
    client: AsyncClient, browse: Browse, category: str, database_url: str
) -> None:
    await write(client, f"{category}-1", 1)
    message = await get_last(client, f"{category}-1")
    browser = await sign_in(browse(create_app(client, token=TOKEN, time_limit=0.2)))
    with psycopg.connect(database_url) as conn:
        conn.execute("LOCK TABLE message_store.messages")
        response = await browser.get("/message", params={"at": message.global_position})
    assert response.status_code == 504
    assert "time limit" in response.text


async def test_a_role_that_may_not_read_the_table_gets_a_page_that_says_so(
    new_database: Any, browse: Browse
) -> None:
    url = new_database()
    async with AsyncClient(url) as owner, owner.transaction() as tx:
        await tx.connection.execute("REVOKE SELECT ON message_store.messages FROM message_store")
    limited = re.sub(r"(user=|//)[^@&\s]*?(?=@|&|\s|$)", r"\1message_store", url)
    async with AsyncClient(limited) as client:
        browser = await sign_in(browse(create_app(client, token=TOKEN)))
        response = await browser.get("/")
    assert response.status_code == 403
    assert "SELECT" in response.text
