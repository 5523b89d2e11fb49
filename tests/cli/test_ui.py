"""The command ``ui``: the address that it prints, and its end."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest

from messagedb import Client, Consumer, MessageRegistry, NewMessage, Park
from tests.cli.conftest import Command

Process = Callable[..., subprocess.Popen[str]]

registry = MessageRegistry()


@pytest.mark.parametrize("given", ["", "a token of sixteen or more"])
def test_it_prints_one_address_with_a_token_unless_one_is_given(
    process: Process, given: str
) -> None:
    more = {"MESSAGEDB_UI_TOKEN": given} if given else {}
    running = process("ui", "--port", "0", "--name", "Tests", more=more)
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    assert ("?token=" in address) == (not given)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address.partition("?")[0], timeout=30)
    token = given or address.partition("?token=")[2]
    request = urllib.request.Request(
        address.partition("?")[0], headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert "Tests" in response.read().decode()
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("name", ["app", "async_app"])
def test_the_handlers_of_an_app_replay_what_its_consumer_parked(
    process: Process, store_url: str, category: str, name: str
) -> None:
    stream = f"{category}:parked-copying"
    with Client(store_url, max_size=2) as client:
        client.write_message(f"{category}-1", NewMessage("A"))
        parking = Consumer(client, category, identifier="copying", poll_interval=0.01)
        parking.handler(lambda message: Park("not now"))
        parking.run(until="caught_up")
        options = ("--app", f"tests.cli.apps_to_run:{name}", "--allow-changes")
        running = process("ui", "--port", "0", *options, more={"CATEGORY": category})
        assert running.stdout is not None
        base, _, token = running.stdout.readline().strip().partition("/?token=")
        browser = Browser(base, token)
        question = browser.open(f"/parked/replay?stream={stream}")
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', question))
        assert "Done" in browser.open("/parked/replay", fields)
        assert client.stream_version(f"{category}Copy-1") == 0
        assert parking.list_parked() == []
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    (line,) = err.splitlines()
    assert "change: user=token address=127.0.0.1 action=replay" in line


class Browser:
    """A browser with a session."""

    def __init__(self, base: str, token: str) -> None:
        self._base = base
        cookies = urllib.request.HTTPCookieProcessor()
        self._opener = urllib.request.build_opener(cookies)
        self.open(f"/?token={token}")

    def open(self, path: str, fields: dict[str, str] | None = None) -> str:
        """Open a page, or send a form, whose last one has the token of the session."""
        body = None if fields is None else urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(
            f"{self._base}{path}", body, {"Sec-Fetch-Site": "same-origin"}
        )
        with self._opener.open(request, timeout=30) as response:
            return str(response.read().decode())


def test_a_wrong_app_is_named(command: Command) -> None:
    ran = command("ui", "--app", "tests.cli.test_ui:registry")
    assert ran.code == 1
    assert "is MessageRegistry, and should be an App or an AsyncApp" in ran.err


def test_data_can_be_hidden(process: Process, category: str, command: Command) -> None:
    assert command("write", f"{category}-1", "Noted", '{"secret": 42424242}').code == 0
    running = process("ui", "--port", "0", "--hide-data", more={"MESSAGEDB_UI_TOKEN": "t" * 16})
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    request = urllib.request.Request(
        f"{address}stream?name={category}-1", headers={"Authorization": "Bearer " + "t" * 16}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        page = response.read().decode()
    running.terminate()
    running.communicate(timeout=30)
    assert "(hidden)" in page
    assert "42424242" not in page


def test_a_wrong_registry_is_named(command: Command) -> None:
    ran = command("ui", "--registry", "tests.cli.test_ui:pytest")
    assert ran.code == 1
    assert "should be a MessageRegistry" in ran.err


def test_a_port_in_use_is_named(process: Process) -> None:
    first = process("ui", "--port", "0")
    assert first.stdout is not None
    port = first.stdout.readline().partition("?")[0].rstrip("/").rpartition(":")[2]
    second = process("ui", "--port", port)
    _, err = second.communicate(timeout=30)
    assert second.returncode == 1
    assert "in use" in err
    first.terminate()
    first.communicate(timeout=30)
