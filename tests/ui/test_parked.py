"""Parked messages on pages: found, read, replayed and discarded, and every change recorded."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx2
import pytest

from messagedb import AsyncClient, AsyncConsumer, Client, Consumer, Message, NewMessage, Park
from messagedb.consumers import NO_RETRY
from messagedb.ui import Change, create_app
from tests.support.background_async import eventually
from tests.ui.conftest import TOKEN, Browse, sign_in

SAME = {"Sec-Fetch-Site": "same-origin"}


class Mail:
    """A handler that fails until it is repaired."""

    def __init__(self) -> None:
        self.is_repaired = False
        self.sent: list[str] = []

    def handle(self, message: Message[Any]) -> None:
        if not self.is_repaired and message.data["to"] is None:
            raise KeyError("to")
        if message.data["to"] == "<b>nobody</b>":
            raise ValueError("no address: <b>nobody</b>")
        self.sent.append(message.stream_name)


class Scene:
    """A consumer with parked messages, and browsers that may change the store."""

    def __init__(self, client: AsyncClient, consumer: AsyncConsumer, mail: Mail) -> None:
        self.client = client
        self.consumer = consumer
        self.mail = mail
        self.stream = f"{consumer.name.partition(':')[0]}:parked-mail"

    def make_app(self, **options: Any) -> Any:
        given: dict[str, Any] = {"allow_changes": True, "consumers": [self.consumer], **options}
        return create_app(self.client, token=TOKEN, **given)


@pytest.fixture
async def scene(client: AsyncClient, category: str) -> Scene:
    mail = Mail()
    consumer = AsyncConsumer(
        client, category, identifier="mail", retry=NO_RETRY, on_error="park", poll_interval=0.01
    )

    @consumer.handler
    async def send(message: Message[Any]) -> None:
        mail.handle(message)

    targets = [None, "a@b", None, "<b>nobody</b>", None]
    for number, to in enumerate(targets):
        await client.write_message(f"{category}-{number}", NewMessage("Placed", {"to": to}))
    await consumer.run(until="caught_up")
    assert mail.sent == [f"{category}-1"]
    return Scene(client, consumer, mail)


def find_field(page: httpx2.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found is not None, page.text
    return found[1]


def find_fields(page: httpx2.Response) -> dict[str, str]:
    form = page.text[page.text.index('<form class="stack"') :]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


async def finish(browser: httpx2.AsyncClient, begun: httpx2.Response) -> httpx2.Response:
    """Return the page of a job when it has ended."""
    assert begun.status_code == 303, begun.text
    while True:
        page = await browser.get(begun.headers["location"])
        if "refresh" not in page.headers:
            return page


async def test_parked_messages_are_listed_with_their_errors(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app()))
    listed = await browser.get("/parked")
    assert f"stream={scene.stream.replace(':', '%3A')}" in listed.text
    page = await browser.get("/parked", params={"stream": scene.stream})
    assert "4 parked messages" in page.text
    assert "KeyError" in page.text
    assert "ValueError: no address: &lt;b&gt;nobody&lt;/b&gt;" in page.text
    assert "<b>nobody" not in page.text
    some = await browser.get("/parked", params={"stream": scene.stream, "error": "ValueError"})
    assert some.text.count("Discard<span") == 1


async def test_one_message_is_read_and_replayed(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app()))
    first = (await scene.consumer.list_parked())[0]
    one = {"stream": scene.stream, "id": str(first.id)}
    page = await browser.get("/parked/message", params=one)
    assert "KeyError: &#39;to&#39;" in page.text
    assert str(first.message_id) in page.text
    scene.mail.is_repaired = True
    question = await browser.get("/parked/replay", params=one)
    assert "Replay 1 parked message?" in question.text
    assert "Not undone: what the handlers do." in question.text
    begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
    assert "Done" in (await finish(browser, begun)).text
    assert scene.mail.sent[1:] == [first.stream_name]
    assert len(await scene.consumer.list_parked()) == 3
    assert (await browser.get("/parked/message", params=one)).status_code == 404


async def test_all_are_tried_and_those_that_fail_stay(
    scene: Scene, browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[Change] = []
    browser = await sign_in(browse(scene.make_app(on_change=changes.append)))
    scene.mail.is_repaired = True
    question = await browser.get("/parked/replay", params={"stream": scene.stream})
    assert "Replay 4 parked messages?" in question.text
    with caplog.at_level(logging.INFO, "messagedb.ui"):
        begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
        page = await finish(browser, begun)
        await eventually(lambda: changes)
    assert "ValueError: no address: &lt;b&gt;nobody&lt;/b&gt;" in page.text
    assert [each.type for each in await scene.consumer.list_parked()] == ["Placed"]
    assert len(scene.mail.sent) == 4
    (change,) = changes
    assert (change.user, change.action, change.count) == ("token", "replay", 3)
    assert "mail (1 failed, 0 not tried)" in change.target
    (line,) = [each for each in caplog.messages if each.startswith("change:")]
    assert f"action=replay target={change.target} count=3" in line


async def test_a_held_stream_shows_its_order_and_is_replayed_in_it(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    mail = Mail()
    consumer = AsyncConsumer(
        client, category, identifier="mail", retry=NO_RETRY, on_error="park_stream"
    )

    @consumer.handler
    async def send(message: Message[Any]) -> None:
        mail.handle(message)

    for stream in ("1", "2"):
        for to in (None, "a@b", "<b>nobody</b>" if stream == "2" else "c@d", "e@f"):
            await client.write_message(f"{category}-{stream}", NewMessage("Placed", {"to": to}))
    await consumer.run(until="caught_up")
    scene = Scene(client, consumer, mail)
    browser = await sign_in(browse(scene.make_app()))
    page = await browser.get("/parked", params={"stream": scene.stream})
    assert page.text.count("holds its stream</a>, 3 behind") == 2
    assert page.text.count("waits for 0") == 6
    first, second, *_ = await consumer.list_parked()
    read = await browser.get(
        "/parked/message", params={"stream": scene.stream, "id": str(first.id)}
    )
    assert "3 later messages are parked behind it" in read.text
    read = await browser.get(
        "/parked/message", params={"stream": scene.stream, "id": str(second.id)}
    )
    assert "it waits for message 0 of its stream" in read.text
    mail.is_repaired = True
    one = {"stream": scene.stream, "of": f"{category}-1"}
    question = await browser.get("/parked/replay", params=one)
    assert "Replay 4 parked messages?" in question.text
    assert "are replayed in order" in question.text
    begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
    assert "Done" in (await finish(browser, begun)).text
    assert mail.sent == [f"{category}-1"] * 4
    question = await browser.get("/parked/replay", params={"stream": scene.stream})
    begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
    ended = await finish(browser, begun)
    assert "behind one that failed" in ended.text
    left = await consumer.list_parked()
    assert [(each.position, each.waits_for) for each in left] == [(2, None), (3, 2)]
    page = await browser.get("/parked", params={"stream": scene.stream})
    assert "ValueError: no address" in page.text
    question = await browser.get("/parked/discard", params={"stream": scene.stream})
    fields = {**find_fields(question), "typed": "2"}
    await finish(browser, await browser.post("/parked/discard", data=fields, headers=SAME))
    assert await consumer.list_parked() == []


async def test_a_sync_consumer_replays_in_a_thread(
    scene: Scene, browse: Browse, store_url: str, category: str
) -> None:
    scene.mail.is_repaired = True
    with Client(store_url, max_size=1) as client:
        consumer = Consumer(client, category, identifier="mail")
        consumer.handler(scene.mail.handle)
        browser = await sign_in(browse(scene.make_app(consumers=[consumer])))
        question = await browser.get("/parked/replay", params={"stream": scene.stream})
        begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
        assert "Done" in (await finish(browser, begun)).text
    assert len(scene.mail.sent) == 4


async def test_to_discard_several_their_number_is_typed(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app(consumers=())))
    some = {"stream": scene.stream, "error": "KeyError"}
    question = await browser.get("/parked/discard", params=some)
    assert "Discard 3 parked messages?" in question.text
    fields = find_fields(question)
    refused = await browser.post("/parked/discard", data={**fields, "typed": "4"}, headers=SAME)
    assert refused.status_code == 400
    assert len(await scene.consumer.list_parked()) == 4
    begun = await browser.post("/parked/discard", data={**fields, "typed": "3"}, headers=SAME)
    await finish(browser, begun)
    assert [each.reason for each in await scene.consumer.list_parked()] == [
        "ValueError: no address: <b>nobody</b>"
    ]


async def test_a_number_that_has_changed_is_not_confirmed(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app()))
    question = await browser.get("/parked/discard", params={"stream": scene.stream})
    await scene.consumer.discard_parked((await scene.consumer.list_parked())[:1])
    fields = {**find_fields(question), "typed": "4"}
    refused = await browser.post("/parked/discard", data=fields, headers=SAME)
    assert refused.status_code == 409
    assert "There are 3 such messages now" in refused.text


async def test_up_to_a_message(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app()))
    parked = {"stream": scene.stream, "up_to": "1"}
    question = await browser.get("/parked/discard", params=parked)
    assert "Discard 2 parked messages?" in question.text


@pytest.mark.parametrize("path", ["/parked/replay", "/parked/discard"])
async def test_who_may_only_read_gets_no_buttons_and_is_refused(
    scene: Scene, browse: Browse, path: str
) -> None:
    browser = await sign_in(browse(scene.make_app(allow_changes=False)))
    page = await browser.get("/parked", params={"stream": scene.stream})
    assert path not in page.text
    assert (await browser.get(path, params={"stream": scene.stream})).status_code == 403
    fields = {"form_token": find_field(page, "form_token"), "stream": scene.stream, "count": "4"}
    assert (await browser.post(path, data=fields, headers=SAME)).status_code == 403
    assert len(await scene.consumer.list_parked()) == 4


async def test_a_form_without_its_token_changes_nothing(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app()))
    fields = {"stream": scene.stream, "count": "4", "typed": "4"}
    response = await browser.post("/parked/discard", data=fields, headers=SAME)
    assert response.status_code == 403
    assert "CSRF" in response.text
    assert len(await scene.consumer.list_parked()) == 4


async def test_without_handlers_the_page_says_how_to_replay(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app(consumers=())))
    page = await browser.get("/parked", params={"stream": scene.stream})
    assert "/parked/replay" not in page.text
    assert "messagedb parked replay module:consumer" in page.text
    response = await browser.get("/parked/replay", params={"stream": scene.stream})
    assert response.status_code == 409


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"stream": "none:parked-none"}, 200),
        ({"stream": "a\0b"}, 400),
        ({"stream": "a", "id": "1"}, 400),
        ({"stream": "a", "up_to": "-1"}, 400),
        ({"stream": "a", "after": "x"}, 400),
        ({"stream": "a", "type": "'; drop table messages; --", "error": "<script>"}, 200),
    ],
)
async def test_an_address_that_is_wrong_says_so(
    browser: httpx2.AsyncClient, parameters: dict[str, str], status: int
) -> None:
    response = await browser.get("/parked", params=parameters)
    assert response.status_code == status
    assert "<script>" not in response.text


async def test_a_list_is_counted_again_after_a_change(scene: Scene, browse: Browse) -> None:
    browser = await sign_in(browse(scene.make_app()))
    listed = {"stream": scene.stream}
    assert "4 parked messages" in (await browser.get("/parked", params=listed)).text
    question = await browser.get("/parked/discard", params={**listed, "up_to": "0"})
    begun = await browser.post("/parked/discard", data=find_fields(question), headers=SAME)
    await finish(browser, begun)
    assert "3 parked messages" in (await browser.get("/parked", params=listed)).text


async def test_pages_of_a_list_have_each_message_once(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    consumer = AsyncConsumer(
        client, category, identifier="all", retry=NO_RETRY, on_error="park", poll_interval=0.01
    )

    @consumer.handler
    async def fail(message: Message[Any]) -> None:
        raise KeyError(message.position)

    await client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(120)])
    await consumer.run(until="caught_up")
    browser = await sign_in(browse(create_app(client, token=TOKEN)))
    address, shown = f"/parked?stream={category}:parked-all", list[str]()
    while address:
        page = await browser.get(address)
        shown += re.findall(rf"<bdi>{category}-1</bdi>/(\d+)</a>", page.text)
        found = re.search(r'href="([^"]+)">Next<', page.text)
        address = found[1].replace("&amp;", "&") if found else ""
    assert shown == [str(number) for number in range(120)]


def hide(message_type: str, value: Any) -> str:
    """Show nothing of any message."""
    return "hidden"


async def test_hidden_data_is_not_in_the_reasons_of_parked_messages(
    client: AsyncClient, browse: Browse, category: str
) -> None:
    consumer = AsyncConsumer(
        client, category, identifier="all", retry=NO_RETRY, on_error="park", poll_interval=0.01
    )

    @consumer.handler
    async def handle(message: Message[Any]) -> Any:
        if message.position == 0:
            raise KeyError("secret-0")
        return Park(f"secret{message.position}")

    await client.write_messages(f"{category}-1", [NewMessage("A"), NewMessage("A")])
    await consumer.run(until="caught_up")
    options: dict[str, Any] = {"allow_changes": True, "consumers": [consumer], "redact": hide}
    browser = await sign_in(browse(create_app(client, token=TOKEN, **options)))
    stream = {"stream": f"{category}:parked-all"}
    pages = [await browser.get("/parked", params=stream)]
    assert "<bdi>KeyError</bdi>" in pages[0].text
    guessed = await browser.get("/parked", params={**stream, "error": "secret1"})
    assert "No more of these." in guessed.text
    for parked in await consumer.list_parked():
        one = {**stream, "id": str(parked.id)}
        pages.append(await browser.get("/parked/message", params=one))
        question = await browser.get("/parked/replay", params=one)
        begun = await browser.post("/parked/replay", data=find_fields(question), headers=SAME)
        pages.append(await finish(browser, begun))
    for page in pages:
        assert page.status_code == 200
        assert "secret" not in page.text


async def test_one_record_that_cannot_be_read_does_not_hide_the_others(
    scene: Scene, browse: Browse
) -> None:
    position = await scene.client.write_message(scene.stream, NewMessage("Parked", {"reason": "x"}))
    odd: dict[str, Any] = {
        "messageId": "none",
        "position": "1e400",
        "globalPosition": None,
        "attempts": [],
    }
    await scene.client.write_message(scene.stream, NewMessage("Parked", odd))
    browser = await sign_in(browse(scene.make_app()))
    page = await browser.get("/parked", params={"stream": scene.stream})
    assert "4 parked messages" in page.text
    assert f"2 records cannot be read (positions {position}, {position + 1})" in page.text
    question = await browser.get("/parked/discard", params={"stream": scene.stream})
    fields = {**find_fields(question), "typed": "4"}
    begun = await browser.post("/parked/discard", data=fields, headers=SAME)
    assert ">Done: " in (await finish(browser, begun)).text
    assert await scene.consumer.list_parked() == []


async def test_a_number_of_thousands_of_digits_is_no_position(
    browser: httpx2.AsyncClient,
) -> None:
    digits = "0" * 20 + "9" * 5000
    response = await browser.get("/parked", params={"stream": "a", "up_to": digits})
    assert response.status_code == 400
