"""The archives of examples that the site offers, unpacked into an empty folder and run there."""

from __future__ import annotations

import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path
from zipfile import ZipFile

import example_files
import pytest

from tests.support.background_sync import eventually
from tests.support.environment import outside_environment
from tests.support.patroni.programs import free_ports
from tests.test_examples import FUNDS_TRANSFER, READ_MODEL, SMALL

ROOT = Path(__file__).parents[1]
NAMES = [example_files.ALL, *example_files.folder_names()]
TESTED = [name for name in NAMES[1:] if [*(ROOT / "examples" / name).glob("test_*.py")]]
# Each module is imported, without the programs: those are run, or ask for a broker. Two folders
# have modules that import each other as programs do, by the name of the file.
IMPORT_ALL = """
import compileall, importlib, os, pathlib, sys
assert compileall.compile_dir(".", quiet=1)
os.environ["DJANGO_SETTINGS_MODULE"] = "examples.django_app.settings"
if pathlib.Path("examples/django_app").exists():
    import django
    django.setup()
for path in sorted(pathlib.Path("examples").rglob("*.py")):
    if path.stem not in ("__main__", "manage"):
        sys.path.insert(0, str(path.parent))
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        assert pathlib.Path(module.__file__).is_relative_to(pathlib.Path.cwd()), module
        del sys.path[0]
"""
PROGRAMS = {
    "funds_transfer": {
        "-m examples.funds_transfer": FUNDS_TRANSFER,
        "-m examples.funds_transfer --sync": FUNDS_TRANSFER,
    },
    "personal_data": {"-m examples.personal_data": "before: ada@example.com\nafter: None\n"},
    "read_model": {
        "examples/read_model/read_model_async.py": READ_MODEL,
        "examples/read_model/read_model_sync.py": READ_MODEL,
    },
    "examples": {
        "-m examples writing_events": SMALL["writing_events"],
        "-m examples writing_events --sync": SMALL["writing_events"],
        "-m examples writing_events embedded:./data": SMALL["writing_events"],
        "-m examples.funds_transfer": FUNDS_TRANSFER,
    },
    "order_service": {
        "-m messagedb run examples.order_service.service:app --until-caught-up"
        " --log-level error": "",
    },
}
"""Commands of the pages for each folder, and the output of each."""

SERVERS = {
    "-m examples.fastapi_app": "health",
    "-m examples.starlette_app": "notes/1",
    "-m examples.flask_app": "accounts/1",
    "-m uvicorn --workers 4 examples.fastapi_app.asgi:app --port PORT": "health",
    "-m gunicorn --preload --workers 4 --threads 8 examples.flask_app.wsgi:app"
    " --bind 127.0.0.1:PORT": "accounts/1",
    "-m uvicorn --factory examples.order_service.web:create_web --port PORT": "orders/1",
    "-m examples.django_app.manage runserver PORT": "accounts/1/deposits",
}
"""Commands of the pages that serve until they are stopped, and an address to ask for."""

DEPOSIT = b'{"amount": 5}'


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the archives, as the end of a build of the site does."""
    folder = tmp_path_factory.mktemp("archives")
    example_files.write_archives(folder)
    return folder


def unpack(archives: Path, name: str, folder: Path) -> Path:
    """Unpack an archive of the site into an empty folder."""
    with ZipFile(archives / f"{name}.zip") as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def outside(**more: str) -> dict[str, str]:
    """Return an environment in which Python finds no examples but those of its folder."""
    hidden = ("PYTHONPATH", "MESSAGEDB_URL", "DATABASE_URL")
    environment = {k: v for k, v in outside_environment().items() if k not in hidden}
    return {**environment, "PYTHONDONTWRITEBYTECODE": "1", **more}


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=outside(**more),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_all_examples_with_tests_are_here() -> None:
    assert TESTED == [
        "celery_app",
        "django_app",
        "fastapi_app",
        "flask_app",
        "order_service",
        "process_manager",
        "room_booking",
        "sqlmodel_app",
        "starlette_app",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_all_of_an_archive_is_compiled_and_imported(
    archives: Path, name: str, tmp_path: Path
) -> None:
    done = run(unpack(archives, name, tmp_path), "-c", IMPORT_ALL)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "command"), [(name, each) for name, commands in PROGRAMS.items() for each in commands]
)
def test_a_program_prints_what_its_page_says(
    archives: Path, name: str, command: str, tmp_path: Path
) -> None:
    folder = unpack(archives, name, tmp_path)
    more = {"MESSAGEDB_URL": "embedded:./data"} if name == "order_service" else {}
    done = run(folder, *shlex.split(command), **more)
    assert (done.returncode, done.stdout) == (0, PROGRAMS[name][command]), done.stderr
    assert "Traceback" not in done.stderr


def test_the_history_is_written_once(archives: Path, tmp_path: Path) -> None:
    folder = unpack(archives, "git_history", tmp_path)
    for _ in range(2):
        done = run(folder, "examples/git_history/demo.py", "embedded:./data")
        assert (done.returncode, done.stderr) == (0, "")
        assert "AsyncClient and Client agree." in done.stdout


@pytest.mark.parametrize("name", TESTED)
def test_the_tests_of_an_archive_pass(archives: Path, name: str, tmp_path: Path) -> None:
    done = run(unpack(archives, name, tmp_path), "-m", "pytest", "-q", f"examples/{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def answers(url: str) -> bool:
    """Return True if a server answers with success."""
    try:
        body = DEPOSIT if url.endswith("deposits") else None
        with urllib.request.urlopen(url, body, timeout=10) as response:
            return bool(response.status in (200, 201))
    except OSError:
        return False


@pytest.mark.parametrize("command", SERVERS)
def test_an_application_answers_from_a_store_in_its_folder(
    archives: Path, command: str, tmp_path: Path
) -> None:
    folder = unpack(archives, example_files.ALL, tmp_path)
    if "django" in command:
        done = run(folder, "-m", "examples.django_app.manage", "migrate")
        assert done.returncode == 0, done.stderr
    (port,) = map(str, free_ports(1))
    url = f"http://127.0.0.1:{port}/{SERVERS[command]}"
    more = {"PORT": port}
    if "order_service" in command:
        more["MESSAGEDB_URL"] = "embedded:./data"
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, *command.replace("PORT", port).split()],
            cwd=folder,
            env=outside(**more),
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            eventually(lambda: answers(url) or process.poll() is not None, 60)
            assert process.poll() is None, (tmp_path / "log").read_text()
        finally:
            process.terminate()
    assert (folder / "data").is_dir()
