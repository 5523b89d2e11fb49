"""A cluster of Patroni: it fails over under writers; nothing of it is left behind the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs_blocks import DOCS, blocks_of

from messagedb import Client, NewMessage
from tests._sync import failover_load as threads
from tests.support.backend import make_url
from tests.support.background_sync import eventually
from tests.support.patroni import NoPatroniError, PatroniCluster
from tests.support.patroni.cluster import SECRETS
from tests.support.patroni.kept import SYSTEM_PYTHON, Kept
from tests.support.patroni.minder import descendants
from tests.support.replication.figures import Figures
from tests.support.unprivileged import Way

ROOT = Path(__file__).parents[2]
PAGE = DOCS / "high-availability.md"

# A program with two daemons, each in a separate session.
DAEMON = "(setsid sleep 600 &) & (setsid sleep 601 &) & sleep 602; exit"

linux = pytest.mark.skipif(
    sys.platform != "linux" or not Path(SYSTEM_PYTHON).exists(),
    reason=f"the processes are found in /proc by {SYSTEM_PYTHON}",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PatroniCluster]:
    try:
        found = PatroniCluster(nodes=2)
    except NoPatroniError as error:
        pytest.skip(f"no cluster of Patroni: {error}")
    try:
        yield found
    finally:
        found.close()


def ended(pids: set[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def states(pids: set[int]) -> set[str]:
    """Return the states of processes, as the kernel's letters."""
    stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
    return {stat.rpartition(")")[2].split()[0] for stat in stats}


def test_no_acknowledged_write_is_lost_when_patroni_fails_over(
    cluster: PatroniCluster, category: str
) -> None:
    by_name = {step.name: step for step in cluster.steps()}
    before = cluster.primary
    done = threads.under_load(cluster.url(), category, [by_name["failover"]])
    assert cluster.primary is not before
    figures = Figures(failovers=1)
    url = cluster.url(user="postgres")
    threads.take_load(figures, url, category, done, is_synchronous=True)
    assert figures.problems(doubts=0, waiting=0) == []
    assert done.seen[0].interruption > 0.0
    assert cluster.scalar("show synchronous_standby_names") != ""


def test_the_store_is_created_as_the_page_says(cluster: PatroniCluster) -> None:
    (script,) = [block.text for block in blocks_of(PAGE) if block.language == "sh"]
    hosts = ",".join(f"{place.host}:{place.port}" for place in cluster.places)
    for there, here in (("change-me-1", SECRETS.superuser), ("10.0.0.1,10.0.0.2,10.0.0.3", hosts)):
        assert there in script
        script = script.replace(there, here)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    url = make_url(cluster.url(), dbname="message_store", password="change-me-4")
    with Client(url) as client:
        assert client.write_message("account-1", NewMessage("Deposited")) == 0
    # The role is of all databases: the others' password is as it was.
    cluster.set_password()


@linux
def test_a_node_is_killed_with_its_daemons(tmp_path: Path) -> None:
    kept = Kept(Way(), ["/bin/sh", "-c", DAEMON], tmp_path / "log")
    eventually(lambda: len(descendants(os.getpid()) & sleepers()) == 2)
    mine = descendants(os.getpid()) & sleepers()
    kept.kill()
    assert ended(mine)
    assert not kept.runs


@linux
def test_a_node_is_stopped_and_continued_with_its_daemons(tmp_path: Path) -> None:
    kept = Kept(Way(), ["/bin/sh", "-c", DAEMON], tmp_path / "log")
    try:
        eventually(lambda: len(descendants(os.getpid()) & sleepers()) == 2)
        mine = descendants(os.getpid()) & sleepers()
        kept.stop()
        eventually(lambda: states(mine) == {"T"})
        kept.go_on()
        eventually(lambda: states(mine) == {"S"})
    finally:
        kept.kill()


@linux
def test_nothing_is_left_of_a_paused_node_when_the_tests_are_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.support.patroni.kept import Kept; from tests.support.unprivileged import Way\n"
        f"kept = Kept(Way(), ['/bin/sh', '-c', {DAEMON!r}], Path(sys.argv[1]))\n"
        "sys.stdin.readline(); kept.stop(); time.sleep(600)\n"
    )
    # In a separate group: the kernel sends SIGHUP to one that has stopped processes
    # when its last process with a parent in another group of the session dies.
    killed = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        process_group=0,
    )
    assert killed.stdin is not None
    eventually(lambda: len(descendants(killed.pid) & sleepers()) == 2, limit=20.0)
    with killed.stdin as order:
        order.write(b"\n")
    eventually(lambda: states(descendants(killed.pid) & sleepers()) == {"T"}, limit=20.0)
    nodes = descendants(killed.pid)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    eventually(lambda: ended(nodes), limit=20.0)
    assert ended(nodes)


def sleepers() -> set[int]:
    """Return the processes of this machine that are daemons of these tests."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if command[:2] in ([b"sleep", b"600"], [b"sleep", b"601"]):
            found.add(int(path.parent.name))
    return found
