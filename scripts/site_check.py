"""Open every page of the built site in Chromium: ``nox -s site``.

    python scripts/site_check.py FOLDER             every page, at three widths, in both schemes
    python scripts/site_check.py FOLDER --short     ten pages
    python scripts/site_check.py FOLDER --page cli  this page; may be repeated
    python scripts/site_check.py FOLDER --files-only    what needs no browser: links, tags, files

Exits with 1 if a page has a serious finding of axe, asks another host, loads more than 300 kB,
scrolls sideways, shifts while it is loaded or scrolled, or reports an error; if a link leads
nowhere; or if a search for one of the words of search_words.py does not show its page first.
``--screenshots DIR`` writes a picture of each page.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import IO, Final, Literal

import fetch_axe
import llms_text
import site_links
import site_search
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

WIDTHS: Final = (375, 820, 1440)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
LARGEST: Final = 300_000
"""Bytes that a page loads with an empty cache, compressed as web servers do."""

LARGEST_SHIFT: Final = 0.05
SHORT: Final = (
    "404",
    "architecture",
    "cli",
    "consumers",
    "errors",
    "errors/HandlerError",
    "index",
    "performance",
    "reference/client",
    "see",
)
FILES: Final = ("404.html", "llms.txt", "llms-full.txt", "versions.json", "_downloads/examples.zip")
WITHOUT_TEXT: Final = ("404", "genindex", "py-modindex", "search")
ABOUT_THE_SOURCE: Final = ("architecture",)
PRIVATE_NAME: Final = re.compile(
    r"\bmessagedb(?:\.\w+)*\._\w+|\b_messagedb_async\b|\bmessagedb/_\w+"
)
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WATCH_SHIFTS: Final = """
{
  let shifted = 0;
  const add = entries => {
    for (const entry of entries) shifted += entry.hadRecentInput ? 0 : entry.value;
  };
  const observer = new PerformanceObserver(list => add(list.getEntries()));
  observer.observe({type: "layout-shift", buffered: true});
  window.readShift = () => { add(observer.takeRecords()); return shifted; };
  window.drawFrames = async () => {
    for (let each = 0; each < 2; each++) await new Promise(done => requestAnimationFrame(done));
  };
}
"""
# A timer of the page that is due is run before this one, and a second frame begins after the first
# is drawn. If a page changes while it is scrolled, it keeps its place, and no shift is counted.
SETTLE: Final = """
async () => {
  await drawFrames();
  await new Promise(done => setTimeout(done, 0));
  await drawFrames();
}
"""
COUNT_BYTES: Final = """
[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, entry) => sum + entry.transferSize, 0)
"""
SCROLL: Final = """
async () => {
  for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
    scrollTo({top: y, behavior: "instant"});
    await drawFrames();
  }
  await Promise.all([...document.images].filter(image => image.checkVisibility())
    .map(image => image.decode().catch(() => 0)));
  await drawFrames();
  scrollTo({top: 0, behavior: "instant"});
  await drawFrames();
}
"""
OVERFLOW: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FINISH: Final = """
async () => {
  await drawFrames();
  for (const animation of document.getAnimations()) animation.finish();
}
"""
"""Ends the changes of colors that another scheme begins: those between have no contrast."""

RUN_AXE: Final = """
async rules => (await axe.run(document, {resultTypes: ["violations"], ...rules})).violations
  .filter(each => ["serious", "critical"].includes(each.impact))
  .map(each => `${each.id} (${each.nodes.length}): ${each.nodes[0].html.slice(0, 120)}`)
"""
COLORS: Final = {"runOnly": ["color-contrast"]}
OTHERS: Final = {"rules": {"color-contrast": {"enabled": False}}}
"""Colors are the same at each width, and to compare them takes longer than all other rules."""


@dataclass
class View:
    """A page at one width: the bytes that it loads, its shift, and its faults."""

    size: int = 0
    shift: float = 0.0
    faults: list[str] = field(default_factory=list[str])


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder as a host of static pages does: compressed, with 404.html for the rest."""

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]
        """Return the body of the response after its headers."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        status = 200 if path.is_file() else 404
        if status == 404:
            path = Path(self.directory) / "404.html"
        body = path.read_bytes() if path.is_file() else b""
        packed = path.suffix in (".html", ".css", ".js", ".json", ".svg", ".txt", ".xml")
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(str(path)))
        if packed:
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return BytesIO(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this host, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def open_browser(folder: Path) -> Iterator[tuple[Browser, str]]:
    """Return Chromium, and the address at which it finds the files of a folder."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with serve(folder) as address, sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS)), address


def find_pages(folder: Path, *, short: bool = False) -> list[str]:
    """Return the pages of a built site, without their suffix."""
    pages = sorted(
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.html")
    )
    if not short:
        return [page for page in pages if not page.startswith("_")]
    if missing := set(SHORT) - set(pages):
        raise SystemExit(f"the site has no pages {sorted(missing)}")
    return list(SHORT)


def open_view(
    browser: Browser, url: str, width: int, axe: str, pictures: str | None, *, has_colors: bool
) -> View:
    """Open a page with an empty cache, scroll through it, and return what is wrong with it.

    The second scheme is shown in the same page: only colors and pictures differ. The contrast of
    colors is checked if ``has_colors``.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 900}, reduced_motion="reduce", bypass_csp=True
    )
    page = context.new_page()
    view = View()
    watch(page, url, view.faults)
    page.add_init_script(WATCH_SHIFTS)
    page.goto(url, wait_until="load")
    page.evaluate(SETTLE)
    view.size = page.evaluate(COUNT_BYTES)
    page.evaluate(SCROLL)
    view.shift = page.evaluate("readShift()")
    if view.size > LARGEST:
        view.faults.append(f"it loads {view.size:,} bytes")
    if view.shift > LARGEST_SHIFT:
        view.faults.append(f"it shifts by {view.shift:.3f}")
    page.evaluate(axe)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.evaluate(FINISH)
        if (more := page.evaluate(OVERFLOW)) > 0:
            view.faults.append(f"{scheme}: it scrolls sideways, by {more} pixels")
        rules = [OTHERS] if scheme == SCHEMES[0] else []
        for each in [*rules, COLORS] if has_colors else rules:
            view.faults += [f"{scheme}: {finding}" for finding in page.evaluate(RUN_AXE, each)]
        if pictures is not None:
            page.screenshot(path=f"{pictures}-{width}-{scheme}.png", full_page=True)
    context.close()
    return view


def watch(page: Page, url: str, faults: list[str]) -> None:
    """Note errors, failed responses and requests to other hosts in a list."""
    host = "/".join(url.split("/")[:3])

    def note_request(request: Request) -> None:
        if not request.url.startswith((host, "data:")):
            faults.append(f"it asks {request.url}")

    def note_response(response: Response) -> None:
        if response.status >= 400:
            faults.append(f"{response.status} for {response.url}")

    def note_message(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            faults.append(f"error: {message.text}")

    page.on("request", note_request)
    page.on("response", note_response)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("console", note_message)


def check(
    folder: Path, pages: Sequence[str], pictures: Path | None, widths: Sequence[int] = WIDTHS
) -> int:
    """Open the pages, print a row for each, and return how many faults they have."""
    axe = fetch_axe.fetch().read_text(encoding="utf-8")
    found = 0
    print(f"{'page':<42} {'kB':>5} {'shift':>6}  faults", flush=True)
    with open_browser(folder) as (browser, address):
        for name in pages:
            prefix = None if pictures is None else str(pictures / name.replace("/", "-"))
            url = f"{address}/{name}.html"
            views = {
                width: open_view(browser, url, width, axe, prefix, has_colors=width == max(widths))
                for width in widths
            }
            size = max(view.size for view in views.values()) / 1000
            shift = max(view.shift for view in views.values())
            faults = [(width, fault) for width, view in views.items() for fault in view.faults]
            print(f"{name:<42} {size:>5.0f} {shift:>6.3f}  {len(faults)}", flush=True)
            for width, fault in faults:
                print(f"    {width}, {fault}", flush=True)
            found += len(faults)
        browser.close()
    print(f"{len(pages)} pages, {len(widths)} widths, {len(SCHEMES)} schemes: {found} faults")
    return found


def check_files(folder: Path) -> list[str]:
    """Return what is wrong with the files of a built site that no page shows."""
    faults: list[str] = []
    for name in find_pages(folder):
        text = (folder / f"{name}.html").read_text(encoding="utf-8")
        if name == "404":
            if re.search(r'(?:href|src)="(?![#/]|https?:|data:)', text):
                faults.append("404.html has an address that is relative: it is shown anywhere")
        elif name not in WITHOUT_TEXT:
            faults += [f"{name}.html has {each}" for each in find_tag_faults(text, name, folder)]
        if name not in ABOUT_THE_SOURCE:
            private = sorted(set(PRIVATE_NAME.findall(text)))
            faults += [f"{name}.html has the private name {each}" for each in private]
    faults += [f"there is no {name}" for name in FILES if not (folder / name).exists()]
    whole = folder / "llms-full.txt"
    unread = llms_text.list_unread(whole.read_text("utf-8")) if whole.exists() else []
    faults += [f"llms-full.txt has {each}, and not what it shows" for each in unread]
    faults += site_links.Site(folder).find_faults()
    canonical = 'rel="canonical"' in (folder / "index.html").read_text(encoding="utf-8")
    if canonical != (folder / "sitemap.xml").exists():
        faults.append("sitemap.xml is there exactly if the site has an address, DOCS_URL")
    return faults


def find_tag_faults(text: str, name: str, folder: Path) -> list[str]:
    """Return what is wrong with the tags of OpenGraph, from which others make a card of a link."""
    tags = dict(re.findall(r'<meta property="og:([\w:]+)" content="([^"]*)"', text))
    canonical = re.search(r'rel="canonical" href="([^"]*)"', text)
    faults = [] if tags.get("description") else ["no description for those who link to it"]
    if canonical is None:
        present = sorted({"url", "image"} & set(tags))
        return faults + [f"og:{each}, and the site has no address" for each in present]
    root = canonical[1].removesuffix(f"{name}.html")
    if tags.get("url") != canonical[1]:
        faults.append(f"og:url {tags.get('url')} instead of {canonical[1]}")
    image = tags.get("image", "")
    if not (image.startswith(root) and (folder / image.removeprefix(root)).is_file()):
        faults.append(f"no picture of the site as og:image: {image!r}")
    return faults


def main() -> int:
    """Check the pages of a folder."""
    parser = argparse.ArgumentParser(description="Open every page of the built site in Chromium.")
    parser.add_argument("folder", type=Path, help="the built site")
    parser.add_argument("--short", action="store_true", help="ten pages")
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of the pages")
    parser.add_argument("--page", action="append", help="this page only; may be repeated")
    parser.add_argument("--width", type=int, action="append", help="this width only")
    parser.add_argument("--files-only", action="store_true", help="without a browser")
    parser.add_argument("--views-only", action="store_true", help="of a folder with any pages")
    options = parser.parse_args()
    faults = [] if options.views_only else check_files(options.folder)
    if not (options.views_only or options.files_only or options.page):
        with open_browser(options.folder) as (browser, address):
            faults += site_search.find_faults(browser, address)
    for fault in faults:
        print(fault)
    if options.files_only:
        return 1 if faults else 0
    pages = options.page or find_pages(options.folder, short=options.short)
    found = check(options.folder, pages, options.screenshots, options.width or WIDTHS)
    return 1 if faults or found else 0


if __name__ == "__main__":
    sys.exit(main())
