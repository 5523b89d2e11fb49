"""Checks of the pages that Sphinx does not make: links, anchors, settings of others, omissions."""

from __future__ import annotations

import configparser
import importlib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import example_files
import figures
import llms_text
import page_html
import pytest
import site_check

import messagedb
from messagedb import errors
from messagedb._errors import DOCS_URL
from messagedb.consumers import group_member_from_env

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
FENCE = re.compile(r"^```(\w+|\{[\w-]+\})\n(.*?)^```$", re.S | re.M)
yaml: Any = importlib.import_module("yaml")


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def anchors(page: Path) -> set[str]:
    """Return the names of headings in links, by GitHub's rule, which is Sphinx's, too."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere_on_github_and_in_the_site() -> None:
    for page in [*PAGES, *ROOT.glob("*.md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
            if "://" in link:
                continue
            target, _, anchor = link.partition("#")
            there = (page.parent / target).resolve() if target else page
            assert there.exists(), f"{page.name} links to {link}"
            assert not anchor or anchor in anchors(there), f"{page.name} links to {link}"
            assert page.parent == ROOT or there.is_relative_to(DOCS), f"{link} is not in the site"


def test_the_page_of_errors_has_every_error() -> None:
    first, _, _ = (DOCS / "errors.md").read_text().partition("\n## ")
    table = re.findall(r"^\| \[`(\w+)`\]\(errors/\1\.md\) \|", first, re.M)
    assert sorted(table) == sorted(errors.__all__)


def test_every_error_has_a_page_at_the_address_that_it_names() -> None:
    pages = {path.stem: path.read_text("utf-8") for path in (DOCS / "errors").glob("*.md")}
    assert sorted(pages) == sorted(errors.__all__)
    below = [page.name for page in llms_text.find_pages(DOCS) if page.name.startswith("errors/")]
    assert sorted(below) == sorted(f"errors/{name}" for name in errors.__all__)
    for name, text in pages.items():
        cls: type[errors.MessageDBError] = getattr(errors, name)
        error = cls.__new__(cls)
        assert error.docs_url == f"{DOCS_URL}errors/{name}.html"
        assert text.startswith(f"# {name}\n\n")
        facts = f"`messagedb.errors.{name}` · `http_status` {cls.http_status} · a subclass of"
        base = f"[`{cls.__bases__[0].__name__}`]("
        assert f"{facts} {base}" in text.replace("`Exception`", "[`Exception`](")
        assert re.findall("^## (.+)$", text, re.M) == [
            "Why",
            "What is true in the database",
            "What to do",
        ]


def test_the_address_of_the_site_ends_with_a_slash() -> None:
    assert DOCS_URL == "" or DOCS_URL.endswith("/")


def public_modules() -> list[Any]:
    """Import the modules whose names are public, by the files that the package has."""
    folder = Path(messagedb.__file__).parent
    names = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("*/__init__.py")
    }
    public = sorted(name for name in names if not name.startswith("_") and name != "cli")
    return [importlib.import_module(f"messagedb.{name}") for name in public]


def test_the_reference_has_every_public_name() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    found = re.findall(r"^\.\. (?:auto\w+|py:data):: messagedb\.([\w.]+)$", text, re.M)
    wanted = {name for name in messagedb.__all__ if not name.startswith("_")}
    for module in public_modules():
        name = module.__name__.removeprefix("messagedb.")
        wanted |= {f"{name}.{each}" for each in set(module.__all__) - set(messagedb.__all__)}
    assert set(found) == wanted
    assert len(found) == len(set(found))


def test_settings_of_kubernetes_and_compose_are_sound() -> None:
    found = 0
    for page in PAGES:
        for block in blocks(page, "yaml"):
            settings = yaml.safe_load(block)
            if "etcd" in settings or "scrape_configs" in settings:
                continue  # Patroni's: see test_high_availability.py; and Prometheus's
            found += 1
            kind = settings.get("kind")
            if kind == "Deployment":
                container = container_of(settings)
                port = int(dict(pairwise(container["command"]))["--health"])
                for probe, path in (("livenessProbe", "/live"), ("readinessProbe", "/ready")):
                    assert container[probe]["httpGet"] == {"path": path, "port": port}
            elif kind == "StatefulSet":
                container = container_of(settings)
                values = {each["name"]: each.get("value") for each in container["env"]}
                replicas = settings["spec"]["replicas"]
                for number in range(replicas):
                    pod_name = f"{settings['metadata']['name']}-{number}"
                    environ = {**values, "MESSAGEDB_GROUP_MEMBER": pod_name}
                    assert group_member_from_env(environ=environ) == (number, replicas)
            else:
                for each in settings["services"].values():
                    # The processes are alike: partitions need no number.
                    assert each["deploy"]["replicas"] > 1
                    assert "MESSAGEDB_GROUP_MEMBER" not in each["environment"]
                    grace = int(each["stop_grace_period"].removesuffix("s"))
                    assert grace > stop_timeout(each["command"])
    assert found == 5


def container_of(settings: Any) -> Any:
    """Return the container of a pod, which has more time to end than it takes."""
    pod = settings["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    limit = stop_timeout(container.get("command", []))
    assert pod["terminationGracePeriodSeconds"] > limit
    return container


def test_units_of_systemd_are_sound() -> None:
    units = [block for page in PAGES for block in blocks(page, "ini")]
    assert len(units) == 2
    for unit in units:
        settings = configparser.ConfigParser(strict=False, interpolation=None)
        settings.read_string(unit)
        service = settings["Service"]
        assert float(service["TimeoutStopSec"]) > stop_timeout(service["ExecStart"].split())
    (unit,) = [unit for unit in units if "%i" in unit]
    assert "MESSAGEDB_GROUP_MEMBER" not in unit
    page = (DOCS / "many-hosts.md").read_text()
    environ = dict(re.findall(r"`Environment=(\w+)=([^`]+)`", page))
    members = re.search(r"statements@\{0\.\.(\d+)\}", page)
    assert members is not None
    for number in range(int(members[1]) + 1):
        values = {name: value.replace("%i", str(number)) for name, value in environ.items()}
        assert group_member_from_env(environ=values) == (number, int(members[1]) + 1)


def stop_timeout(command: list[str]) -> float:
    given = dict(pairwise(command)).get("--stop-timeout", "10")
    return float(given)


# Pages for people who change or measure this library may name its tests, as guarantees do.
WITH_PROOFS = ("architecture", "guarantees", "performance")
TEST_NAMES = {
    name
    for folder in ("tests", "examples")
    for path in (ROOT / folder).glob("**/test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.M)
}


def find_proofs(text: str) -> list[str]:
    """Return the tests of this repository that a page names outside of its code."""
    prose = re.sub(r"^```(?!`).*?^```$", "", text, flags=re.S | re.M)
    words = re.findall(r"(?:[\w.]+/)*\btest_\w+(?:\.py)?|\btests/[\w./-]*\w", prose)
    return [
        each for each in words if each in TEST_NAMES or ("/" in each and (ROOT / each).exists())
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_are_named_on_the_pages_of_guarantees_only(page: Path) -> None:
    assert page.stem.startswith(WITH_PROOFS) or find_proofs(page.read_text("utf-8")) == []


def test_a_test_that_a_page_names_is_found() -> None:
    own = "test_a_test_that_a_page_names_is_found"
    planted = f"See `{own}`, tests/test_site.py\nand `examples/django_app/test_site.py`.\n"
    assert find_proofs(planted) == [own, "tests/test_site.py", "examples/django_app/test_site.py"]
    assert find_proofs(f"Your own `test_orders.py`.\n```python\ndef {own}(): ...\n```\n") == []
    assert len(find_proofs((DOCS / "guarantees.md").read_text("utf-8"))) > 50


def test_the_figures_of_the_guarantees_are_those_of_the_runs() -> None:
    page = figures.PAGE.read_text(encoding="utf-8")
    written = "\n".join(figures.build_lines(figures.FIGURES))
    assert figures.replace_figures(page, written) == page


@pytest.mark.parametrize("name", figures.COMMANDS)
def test_a_figure_that_has_to_be_zero_is_zero(name: str) -> None:
    run = json.loads((figures.FIGURES / f"{name}.json").read_text(encoding="utf-8"))
    counts = run.get("figures", run)
    zeros = [key for key, label in figures.COMMANDS[name][1].items() if label.endswith(" (0)")]
    assert zeros
    assert {key: counts[key] for key in zeros} == dict.fromkeys(zeros, 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_that_shows_a_folder_of_examples_links_to_its_files(page: Path) -> None:
    text = page.read_text("utf-8")
    linked = set(re.findall(r"\{example\}`(\w+)`", text))
    assert linked <= {example_files.ALL, *example_files.folder_names()}
    shown = set(re.findall(r"\bexamples/(\w+)/", text)) | set(
        re.findall(r"-m examples\.(\w+)", text)
    )
    assert shown <= linked or example_files.ALL in linked


def test_an_archive_of_examples_has_all_that_its_programs_import(tmp_path: Path) -> None:
    for name in ("once", "again"):
        example_files.write_archives(tmp_path / name)
    assert {path.stem for path in (tmp_path / "once").iterdir()} > {"examples", "room_booking"}
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
        with ZipFile(path) as archive:
            names = set(archive.namelist())
            code = [archive.read(each).decode() for each in names if each.endswith(".py")]
        assert {"LICENSE", "pytest.ini", "examples/__init__.py"} < names
        for module in re.findall(r"^ *from (examples[\w.]+) import", "\n".join(code), re.M):
            file = module.replace(".", "/")
            assert {f"{file}.py", f"{file}/__init__.py"} & names, f"{path.name}: {module}"


GOOD_PAGE = '<meta property="og:description" content="what it is" />'


def write_site(folder: Path, **pages: str) -> Path:
    """Write the files that a built site has to have, some with another text."""
    files = {
        "index.html": GOOD_PAGE,
        "errors/HandlerError.html": GOOD_PAGE,
        "_static/part.html": "",
        "search.html": "",
        "404.html": '<a href="/cli.html"></a><script src="/_static/site.js"></script>',
        **dict.fromkeys(site_check.FILES[1:], "[]"),
        **{name.replace("__", "."): text for name, text in pages.items()},
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    example_files.write_archive("room_booking", folder / "_downloads" / "room_booking.zip")
    return folder


def test_files_of_a_sound_site_have_no_fault(tmp_path: Path) -> None:
    assert site_check.check_files(write_site(tmp_path / "nowhere")) == []
    somewhere = write_site_at("https://a.example/en/", tmp_path / "somewhere")
    assert site_check.check_files(somewhere) == []


def write_site_at(address: str, folder: Path, **tags: str) -> Path:
    """Write a site as for an address, whose first page has other tags of OpenGraph if wanted."""

    def page(name: str) -> str:
        found = {"url": f"{address}{name}", "image": f"{address}_static/card.png"}
        lines = [f'<meta property="og:{tag}" content="{text}" />' for tag, text in found.items()]
        return "\n".join([GOOD_PAGE, f'<link rel="canonical" href="{address}{name}" />', *lines])

    error = page("errors/HandlerError.html")
    first = page("index.html")
    for tag, text in tags.items():
        first = re.sub(f'(?<="og:{tag}" content=")[^"]*', text, first)
    site = write_site(folder, index__html=first, sitemap__xml="<urlset/>")
    (site / "errors" / "HandlerError.html").write_text(error, "utf-8")
    (site / "_static" / "card.png").write_bytes(b"a picture")
    return site


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ({"url": "index.html"}, "og:url index.html instead of https://a.example/en/index.html"),
        ({"image": "_static/card.png"}, "no picture of the site as og:image: '_static/card.png'"),
        (
            {"image": "https://a.example/en/_static/gone.png"},
            "no picture of the site as og:image: 'https://a.example/en/_static/gone.png'",
        ),
    ],
)
def test_a_link_to_a_page_has_a_whole_address_and_a_picture(
    tags: dict[str, str], fault: str, tmp_path: Path
) -> None:
    site = write_site_at("https://a.example/en/", tmp_path, **tags)
    assert site_check.check_files(site) == [f"index.html has {fault}"]


def test_tags_without_an_address_of_the_site_are_removed_and_found(tmp_path: Path) -> None:
    relative = (
        '<meta property="og:url" content="cli.html" />\n'
        '<meta property="og:image" content="_static/card.png" />\n'
    )
    whole = '<meta property="og:url" content="https://a.example/cli.html" />\n'
    assert page_html.remove_relative_tags(GOOD_PAGE + relative + whole) == GOOD_PAGE + whole
    site = write_site(tmp_path, index__html=GOOD_PAGE + relative)
    assert site_check.check_files(site) == [
        "index.html has og:image, and the site has no address",
        "index.html has og:url, and the site has no address",
    ]


def test_what_is_wrong_with_files_of_a_site_is_found(tmp_path: Path) -> None:
    relative = {"404__html": '<a href="cli.html"></a>', "sitemap__xml": "<urlset/>"}
    folder = write_site(tmp_path, index__html="<p></p>", **relative)
    (folder / "llms.txt").unlink()
    (folder / "llms-full.txt").write_text("```{literalinclude} a.py\n```\n", "utf-8")
    assert site_check.check_files(folder) == [
        "404.html has an address that is relative: it is shown anywhere",
        "index.html has no description for those who link to it",
        "there is no llms.txt",
        "llms-full.txt has {literalinclude}, and not what it shows",
        "404.html links to cli.html: there is no such file",
        "sitemap.xml is there exactly if the site has an address, DOCS_URL",
    ]


def test_a_private_name_on_a_page_is_found(tmp_path: Path) -> None:
    private = (
        "messagedb._clients.pool.Client",
        "messagedb.embedded._server",
        "_messagedb_async.clients",
        "src/messagedb/_sql/calls.py",
    )
    text = "".join(f'<p title="{name}">its class</p>' for name in private)
    own = "<code>self._messagedb = client</code><code>messagedb.ui._</code>"
    pages = {"index__html": GOOD_PAGE + text, "architecture__html": GOOD_PAGE + text}
    assert site_check.check_files(write_site(tmp_path, search__html=own, **pages)) == [
        "index.html has the private name _messagedb_async",
        "index.html has the private name messagedb._clients",
        "index.html has the private name messagedb.embedded._server",
        "index.html has the private name messagedb/_sql",
    ]


def test_links_inside_a_site_are_followed(tmp_path: Path) -> None:
    links = (
        "errors/HandlerError.html#why",
        "index.html#a&amp;b",
        "#gone",
        "gone.html",
        "search.html?q=saga",
        "https://a.example/",
        "_downloads/room_booking.zip",
        "_downloads/examples.zip",
        "_downloads/gone.zip",
    )
    body = "".join(f'<a href="{link}"></a>' for link in links)
    error = f'{GOOD_PAGE}<h2 id="why"></h2><a href="../index.html#a&amp;b"></a>'
    folder = write_site(tmp_path, index__html=f'{GOOD_PAGE}<p id="a&amp;b">{body}</p>')
    (folder / "errors" / "HandlerError.html").write_text(error, "utf-8")
    assert site_check.check_files(folder) == [
        "index.html links to #gone: there is no such anchor",
        "index.html links to _downloads/examples.zip: it is no archive",
        "index.html links to _downloads/gone.zip: there is no such file",
        "index.html links to gone.html: there is no such file",
    ]


def test_html_of_a_page_has_valid_signatures_public_names_sizes_and_line_breaks(
    tmp_path: Path,
) -> None:
    chart = tmp_path / "chart.svg"
    chart.write_text('<?xml version="1.0"?>\n<svg width="4pt" viewBox="0 0 640.2 99.6" />', "utf-8")
    body = """<span class="sig-paren">(</span><dl>
<dd><em class="sig-param">first</em>,</dd>
<dd><em class="sig-param">second</em>,</dd>
</dl>
<span class="sig-paren">)</span><dl>
<dt>a list</dt><dd>stays</dd></dl>
<a href="#a" title="messagedb._clients.pool.Client.close"></a>
<a href="#b" title="messagedb.embedded._server.start"></a>
<a href="#c" title="messagedb.errors.PoolError"></a>
<img alt="A chart" src="../_images/chart.svg" /><img src="_images/ui.webp" />
<td><code><span class="pre">test_a_name_of_20_let</span></code></td>
<td>test_a_name_of_20_let</td><td><span class="pre">short_name</span></td>
<p><span class="pre">test_a_name_of_20_let</span></p>"""
    assert page_html.correct(body, {"chart.svg": chart}).splitlines() == [
        '<span class="sig-paren">(</span><span class="sig-lines">',
        '<span class="sig-line"><em class="sig-param">first</em>,</span>',
        '<span class="sig-line"><em class="sig-param">second</em>,</span>',
        "</span>",
        '<span class="sig-paren">)</span><dl>',
        "<dt>a list</dt><dd>stays</dd></dl>",
        '<a href="#a" title="Client.close"></a>',
        '<a href="#b" title="start"></a>',
        '<a href="#c" title="messagedb.errors.PoolError"></a>',
        '<img alt="A chart" src="../_images/chart.svg" width="640" height="100" loading="lazy" />'
        '<img src="_images/ui.webp" />',
        '<td><code><span class="pre">test_<wbr/>a_<wbr/>name_<wbr/>of_<wbr/>20_<wbr/>let'
        "</span></code></td>",
        '<td>test_a_name_of_20_let</td><td><span class="pre">short_name</span></td>',
        '<p><span class="pre">test_a_name_of_20_let</span></p>',
    ]
