"""The converter: what it writes, what it refuses, and that the sync variant reads as sync code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import make_sync
import pytest
import sync_prose
from make_sync import ConversionError, Job
from sync_names import BUILT_IN

NAMES = {
    "AsyncClient": "Client",
    "AsyncOperations": "Operations",
    "backend_async": "backend_sync",
    "_messagedb_async": "messagedb._sync",
    "aclose": "close",
    "install_async": "install",
}
HEAD = '"""A module."""\n\nfrom __future__ import annotations\n\n'


@pytest.fixture
def job(tmp_path: Path) -> Job:
    source = tmp_path / "root" / "_async_src" / "_messagedb_async"
    source.mkdir(parents=True)
    target = tmp_path / "root" / "src" / "messagedb" / "_sync"
    return Job(source, target, NAMES, must_use=(), check_strings=True)


def convert(job: Job, text: str) -> str:
    (job.source / "module.py").write_text(text, encoding="utf-8")
    make_sync.run(job)
    return (job.target / "module.py").read_text(encoding="utf-8")


def test_a_module_is_converted_line_by_line(job: Job) -> None:
    source = HEAD + (
        "from contextlib import asynccontextmanager\n"
        "from _messagedb_async.client.client import AsyncClient\n"
        "from messagedb._concurrency.backend_async import Event\n\n"
        '__all__ = ["AsyncClient", "install_async"]\n\n'
        "@asynccontextmanager\n"
        "async def install_async(client: AsyncClient) -> AsyncGenerator[int]:\n"
        '    """Yield an AsyncClient\'s number; await it."""\n'
        "    async with client as c:\n"
        "        async for x in c:\n"
        "            yield [await y() async for y in x]\n"
        "    await client.aclose()\n"
    )
    assert convert(job, source) == (
        '"""A module."""  # generated from _async_src/_messagedb_async/module.py: edit that file\n'
        "\nfrom __future__ import annotations\n\n"
        "from contextlib import contextmanager\n"
        "from messagedb._sync.client.client import Client\n"
        "from messagedb._concurrency.backend_sync import Event\n\n"
        '__all__ = ["Client", "install"]\n\n'
        "@contextmanager\n"
        "def install(client: Client) -> Generator[int]:\n"
        '    """Yield a Client\'s number; it."""\n'
        "    with client as c:\n"
        "        for x in c:\n"
        "            yield [y() for y in x]\n"
        "    client.close()\n"
    )


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("import asyncio", "5: asyncio is left in the sync variant: take what it is used for from"),
        ("x = asyncio.sleep", "5: asyncio is left"),
        ("x: AsyncPool", '5: AsyncPool has no sync name: add "AsyncPool": "Pool" to sync_names.py'),
        ("from x import AsyncPool", "5: AsyncPool has no sync name"),
        ("x: _AsyncPool", "5: _AsyncPool is left"),
        ("x: contextlib.AbstractAsyncContextManager[int]", "AbstractAsyncContextManager is left"),
        ("x: Awaitable[int]", "5: Awaitable is left in the sync variant: put an alias pair"),
        ("x: Coroutine[int, int, int]", "5: Coroutine is left"),
        ("x = anext(y)", "5: anext is left in the sync variant: list it"),
        ("x = y.aiter()", "5: aiter is left"),
        ("x = aclosing(y)", "5: aclosing is left"),
        ("def fetch_async(): ...", "5: fetch_async is left in the sync variant: rename it"),
        ("class async_thing: ...", "5: async_thing is left"),
        ("f(async_=1)", "5: async_ is left"),
        ("def f(is_async): ...", "5: is_async is left"),
        ("import x as async_x", "async_x is left"),
        ("from x.async_y import z", "async_y is left"),
        ("import _messagedb_async.client.client", "5: import _messagedb_async.client.client binds"),
        ("async def f():\n    await(g())", "6: the sync variant does not parse"),
        ("async def f(x):\n    return (await\n        x)", "another number of lines"),
        (
            "async def f(x):\n    return f'{await x}'",
            "6: await in an f-string converts differently",
        ),
        ("x = f'{y}await'", "5: await in an f-string"),
        ("x = f'{AsyncClient}'", "5: AsyncClient in an f-string"),
        ("x = f'{y[\"aclose\"]}'", "5: aclose in an f-string"),
        ("x = 'call await open() first'", "5: 'await' is left in a string of the sync variant"),
        (
            "x = 'an AsyncClient is closed'",
            "5: 'AsyncClient' is left in a string of the sync variant",
        ),
        ("x: 'list[AsyncClient]'", "5: 'AsyncClient' is left in a string"),
        ("x = 1  # the event loop is busy", "5: 'event loop' is left in a docstring or"),
        ("def f():\n    '''One.\n\n    A coroutine.\n    '''", "8: 'coroutine' is left"),
        ("# for async and sync code", "5: 'sync and sync' is left"),
        ("x = (", "5: '(' was never closed"),
    ],
)
def test_code_without_a_sync_form_is_refused_with_its_line(
    job: Job, line: str, refusal: str
) -> None:
    with pytest.raises(ConversionError, match=re.escape(refusal)) as caught:
        convert(job, f"{HEAD}{line}\n")
    assert str(caught.value).startswith(f"{job.source / 'module.py'}:")
    assert not job.target.exists()


@pytest.mark.parametrize("text", ["", "x = 1\n", '\n"""Late."""\n', '"""Two\nlines."""\n', "# x\n"])
def test_a_module_without_a_docstring_on_line_1_is_refused(job: Job, text: str) -> None:
    with pytest.raises(ConversionError, match="docstring that begins and ends on line 1"):
        convert(job, text)


def test_every_problem_of_every_file_is_told_at_once(job: Job) -> None:
    for name in ("a", "b"):
        (job.source / f"{name}.py").write_text(f"{HEAD}import asyncio\nx: AsyncNope\n")
    with pytest.raises(ConversionError) as caught:
        make_sync.run(job)
    assert [line.split(" is ")[0].rsplit("/", 1)[1] for line in str(caught.value).splitlines()] == [
        "a.py:5: asyncio",
        'a.py:6: AsyncNope has no sync name: add "AsyncNope": "Nope" to sync_names.py',
        "b.py:5: asyncio",
        'b.py:6: AsyncNope has no sync name: add "AsyncNope": "Nope" to sync_names.py',
    ]


def test_test_strings_may_speak_of_async(job: Job) -> None:
    tests = Job(job.source, job.target, NAMES, (), check_strings=False)
    assert "'say await'" in convert(tests, f"{HEAD}x = 'say await'\n")


def test_a_name_that_is_never_used_is_told(job: Job) -> None:
    (job.source / "a.py").write_text(f"{HEAD}x: AsyncClient\n")
    checked = Job(job.source, job.target, NAMES, ("AsyncClient", "install_async"), True)
    assert make_sync.run(checked).unused == ["install_async"]


def test_a_build_refuses_a_name_that_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_sync, "PACKAGE_NAMES", {"AsyncClient": "Client", "AsyncNope": "Nope"})
    source = tmp_path / "_async_src" / "_messagedb_async"
    source.mkdir(parents=True)
    (source / "a.py").write_text(f"{HEAD}x: AsyncClient\n")
    with pytest.raises(ConversionError, match=r"so delete from scripts/sync_names\.py: AsyncNope$"):
        make_sync.make_package(tmp_path)
    make_sync.make_untracked(tmp_path)
    assert (tmp_path / "src" / "messagedb" / "_sync" / "a.py").is_file()


def test_the_sync_examples_are_those_of_the_async_ones() -> None:
    stale = make_sync.run(make_sync.job_for_examples(), write=False).changed
    assert not stale, "run: python scripts/make_sync.py"


def test_only_what_changed_is_written_and_what_is_stale_is_removed(job: Job) -> None:
    (job.source / "sub").mkdir()
    for name in ("a.py", "sub/b.py"):
        (job.source / name).write_text(HEAD)
    a, b = job.target / "a.py", job.target / "sub" / "b.py"
    assert make_sync.run(job).changed == [a, b]
    os.utime(a, (1, 1))
    assert make_sync.run(job).changed == []
    assert a.stat().st_mtime == 1

    b.write_text("edited by hand\n")
    (job.source / "a.py").rename(job.source / "c.py")
    stale = [job.target / "c.py", b, a]
    assert make_sync.run(job, write=False).changed == stale
    assert b.read_text() == "edited by hand\n"
    assert a.is_file()

    assert make_sync.run(job).changed == stale
    assert b.read_text().startswith('"""A module."""  # generated from')
    assert sorted(path.name for path in job.target.rglob("*.py")) == ["b.py", "c.py"]


def test_a_kept_conversion_is_used_until_anything_of_it_changes(job: Job, tmp_path: Path) -> None:
    module, cache = job.source / "module.py", tmp_path / "cache"
    module.write_text(HEAD + "x = AsyncClient\n")
    make_sync.run(job, cache=cache)
    (kept,) = cache.iterdir()
    converted = (job.target / "module.py").read_text()
    assert kept.read_text() == converted
    kept.write_text(converted + "# kept\n")
    make_sync.run(job, cache=cache)
    assert (job.target / "module.py").read_text() == converted + "# kept\n"
    module.write_text(HEAD + "y = AsyncClient\n")
    make_sync.run(job, cache=cache)
    assert (job.target / "module.py").read_text() == converted.replace("x =", "y =")
    module.write_text(HEAD + "x = AsyncClient\n")
    other = replace(job, names={**NAMES, "AsyncClient": "Customer"})
    make_sync.run(other, cache=cache)
    assert "x = Customer" in (job.target / "module.py").read_text()


def test_carriage_returns_of_the_checkout_do_not_reach_the_twin(job: Job) -> None:
    unix = convert(job, HEAD + "x = 1\n")
    (job.source / "module.py").write_bytes((HEAD + "x = 1\n").replace("\n", "\r\n").encode())
    assert make_sync.run(job).changed == []
    assert (job.target / "module.py").read_bytes() == unix.encode()


def test_the_folder_may_have_spaces_and_the_names_of_the_halves(tmp_path: Path) -> None:
    root = tmp_path / "my _async_src" / "_messagedb_async" / "root"
    source = root / "_async_src" / "_messagedb_async"
    source.mkdir(parents=True)
    job = Job(source, root / "out", NAMES, (), True)
    assert convert(job, HEAD + "x: AsyncClient  # größe\n").endswith("x: Client  # größe\n")


@pytest.mark.parametrize(
    ("async_text", "sync_text"),
    [
        ("an AsyncClient", "a Client"),
        ("An :class:`AsyncClient`, an\n ``AsyncClient``", "A :class:`Client`, a\n ``Client``"),
        ("an AsyncOperations", "an Operations"),
        ("an `AsyncIterator`", "an `Iterator`"),
        ("An AsyncGenerator", "A Generator"),
        ("messagedb.AsyncClient.aclose()", "messagedb.Client.close()"),
        ("an async context manager", "a context manager"),
        ("an async iterator", "an iterator"),
        ("Async iterator over pages", "Iterator over pages"),
        ("an ``async with`` block", "a ``with`` block"),
        ("async functions", "functions"),
        ("an async client", "a sync client"),
        ("the async half", "the sync half"),
        ("An asynchronous call", "A synchronous call"),
        ("await install_async(await x())", "install(x())"),
        ("value = asyncio.run(main(f(1), 2))  # (done)", "value = main(f(1), 2)  # (done)"),
        ("    import asyncio\n\n    async def main():", "\n\n    def main():"),
        ("    async with a, b:\n        async for x in a:", "    with a, b:\n        for x in a:"),
        ("an asyncio task", "a thread"),
        ("a coroutine function", "a function"),
        ("# an\n# AsyncClient", "# a\n# Client"),
        ("an hour, an even one", "an hour, an even one"),
        ("asynccontextmanager", "contextmanager"),
        ("my_AsyncClient, AsyncClients", "my_AsyncClient, AsyncClients"),
    ],
)
def test_prose_reads_as_sync_code(async_text: str, sync_text: str) -> None:
    phrases = {"asyncio task": "thread", "coroutine function": "function"}
    names = {**BUILT_IN, **NAMES}
    assert sync_prose.rewrite(async_text, names, phrases) == sync_text


def test_prose_is_docstrings_and_comments_and_nothing_else(job: Job) -> None:
    text = HEAD + (
        "limit = 1  # é: for an AsyncClient\n"
        '"""An async attribute docstring."""\n'
        "# An\n"
        "# AsyncClient.\n"
        'sql = "an install_async # an AsyncC"  # an AsyncClient\n'
    )
    relaxed = Job(job.source, job.target, NAMES, (), check_strings=False)
    assert convert(relaxed, text).splitlines()[4:] == [
        "limit = 1  # é: for a Client",
        '"""A sync attribute docstring."""',
        "# A",
        "# Client.",
        'sql = "an install_async # an AsyncC"  # a Client',
    ]


def test_check_names_what_is_stale(tmp_path: Path) -> None:
    scripts = Path(make_sync.__file__).parent
    (tmp_path / "scripts").mkdir()
    for name in ("make_sync.py", "sync_names.py", "sync_prose.py", "sync_refusals.py"):
        (tmp_path / "scripts" / name).write_bytes((scripts / name).read_bytes())
    (tmp_path / "scripts" / "sync_names.py").write_text(
        'BUILT_IN, TEST_NAMES, PHRASES = {}, {}, {}\nPACKAGE_NAMES = {"AsyncA": "A"}\n'
    )
    source = tmp_path / "_async_src" / "_messagedb_async"
    source.mkdir(parents=True)
    (source / "a.py").write_text(f"{HEAD}x: AsyncA\n")

    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(tmp_path / "scripts" / "make_sync.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first = script("--check")
    assert first.returncode == 1
    assert "stale: src/messagedb/_sync/a.py" in first.stdout.replace(os.sep, "/")
    assert script().returncode == 0
    assert script("--check").returncode == 0
    (source / "a.py").write_text(f"{HEAD}x = 1\n")
    unused = script("--check")
    assert unused.returncode == 1
    assert "never used, so delete from scripts/sync_names.py: AsyncA" in unused.stderr
    (source / "a.py").write_text(f"{HEAD}import asyncio\n")
    refused = script()
    assert refused.returncode == 1
    assert f"{source / 'a.py'}:5: asyncio is left" in refused.stderr
