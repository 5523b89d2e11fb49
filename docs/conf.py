"""Settings of the site: ``nox -s docs`` builds it, and any warning fails the build."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import json
import os
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from pydoc import locate
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.addnodes import desc_signature, pending_xref
from sphinx.util.logging import getLogger
from sphinx.writers.text import TextTranslator

import messagedb
import messagedb.telemetry
import messagedb.testing
import messagedb.ui
from messagedb._errors import DOCS_URL
from messagedb._public_names import DEFINED_IN

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).parent / "_ext"))
import llms_text
import page_html
from roads import parse_road

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PUBLIC_MODULES = (
    "clients",
    "consumers",
    "embedded",
    "entities",
    "errors",
    "expected_version",
    "hooks",
    "idempotency",
    "messages",
    "read_models",
    "schema",
    "streams",
    "telemetry",
    "testing",
    "ui",
)

project = "messagedb"
author = copyright = "messagedb contributors"
version = release = installed_version("messagedb")

extensions = [
    "downloads",
    "myst_parser",
    "notfound.extension",
    "search_entries",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
    "variants",
]
nitpicky = True
default_role = "code"  # docstrings have single and double backticks; both are code

myst_heading_anchors = 3  # pages link to #headings, as on GitHub

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
maximum_signature_line_length = 60  # longer ones get a line for each parameter
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes as one list, as arguments are
napoleon_use_rtype = False
napoleon_custom_sections = ["What it guarantees"]

toc_object_entries_show_parents = "hide"

# The address of the site, with a slash at its end. A sitemap and the tags of OpenGraph have whole
# addresses, so that there is no sitemap without it, and page_html.py removes the tag of the page.
html_baseurl = ogp_site_url = os.environ.get("DOCS_URL", DOCS_URL)
if html_baseurl:
    extensions.append("sphinx_sitemap")
    ogp_image = "_static/card.png"  # scripts/social_card.py draws it
    ogp_image_alt = "messagedb: event sourcing and messaging in Python, on PostgreSQL"
    ogp_custom_meta_tags = [
        '<meta property="og:image:width" content="1200" />',
        '<meta property="og:image:height" content="630" />',
        '<meta name="twitter:card" content="summary_large_image" />',
    ]
sitemap_url_scheme = "{link}"
sitemap_excludes = ["404.html", "genindex.html", "search.html"]
ogp_social_cards = {"enable": False}  # they need matplotlib
ogp_type = "website"
notfound_urls_prefix = urlsplit(html_baseurl).path or "/"
notfound_context = {
    "title": "Page not found",
    "body": "<h1>Page not found</h1>"
    "<p>There is no page at this address. The menu has all pages, and the search finds words in "
    'them. By symptom: <a href="troubleshooting.html">troubleshooting</a>; by class: '
    '<a href="errors.html">errors</a>.</p>',
}
# The list of the versions for the switch, as seen from the site. A host that keeps several versions
# beside each other sets ../versions.json; the file of the site itself has this version only.
versions_file = os.environ.get("DOCS_VERSIONS", "versions.json")

html_theme = "furo"
html_title = f"messagedb {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_logo = html_favicon = "_static/logo.svg"
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_theme_options: dict[str, object] = {"navigation_with_keys": True, "top_of_page_buttons": []}
if repository := os.environ.get("MESSAGEDB_REPOSITORY", "").rstrip("/"):
    # Each page links to its source and to the repository, as PyPI does: see RELEASING.md.
    html_theme_options |= {
        "top_of_page_buttons": ["view"],
        "source_repository": f"{repository}/",
        "source_branch": f"v{release}",
        "source_directory": "docs/",
    }
copybutton_exclude = ".linenos, .gp, .go"
linkcheck_timeout = 20
linkcheck_retries = 2

MADE_BY_THE_LIBRARY = {  # only the library calls these classes, so their signatures are of no use
    "AsyncClientCore",
    "AsyncConsumerBase",
    "AsyncEntityEdit",
    "AsyncOperations",
    "ClientCore",
    "ConsumerBase",
    "EntityEdit",
    "Evolve",
    "Operations",
    "ScannedStorePage",
    "AsyncBatchContext",
    "AsyncBoundClient",
    "AsyncContext",
    "AsyncTransaction",
    "BatchContext",
    "BoundClient",
    "ConsumerFailure",
    "ConsumerReport",
    "ConsumerStatus",
    "Context",
    "EmbeddedServer",
    "GroupResize",
    "InFlightMessage",
    "Lag",
    "LoadedEntity",
    "Message",
    "MessageTypes",
    "Operation",
    "Outcome",
    "ParkedMessage",
    "ReadModelVersion",
    "ScannedPage",
    "CategoryInfo",
    "ConsumerInfo",
    "PartitionInfo",
    "PartitionMemberInfo",
    "PartitionSetInfo",
    "StreamInfo",
    "Trace",
    "TraceNode",
    "TransactResult",
    "Transaction",
    "OpenWriteTransaction",
}

logger = getLogger(__name__)
PRIVATE_MODULE = re.compile(r"\b(?:messagedb\._\w+|_messagedb_async)(?:\.\w+)*\.(?=\w)")
NO_COLON = "\ufdd0"  # a character that no docstring has


def import_what_only_types_need() -> None:
    """Run the code under ``if TYPE_CHECKING``, so that annotations can be read as objects."""
    for variant in ("_messagedb_async", "messagedb._sync"):
        importlib.import_module(f"{variant}.public_names")
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("messagedb", "_messagedb_async") and module.__file__:
            for statement in ast.parse(Path(module.__file__).read_text()).body:
                if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
                    code = compile(ast.Module(statement.body, []), module.__file__, "exec")
                    exec(code, module.__dict__)


def public_names() -> dict[str, str]:
    """Return the name in the reference for each public name without its modules."""
    names = {}
    for name in PUBLIC_MODULES:
        module = importlib.import_module(f"messagedb.{name}")
        names |= {name: f"{module.__name__}.{name}" for name in module.__all__}
    return names | {name: f"messagedb.{name}" for name in messagedb.__all__}


def known_elsewhere() -> set[str]:
    """Return the names in our modules, which annotations may use without their module."""
    modules = [module for name, module in sys.modules.items() if "messagedb" in name]
    return {name for module in modules for name in vars(module)}


PUBLIC: dict[str, str] = {}
ELSEWHERE: set[str] = set()


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    """Link a private module's name to the public one; leave other libraries' names as plain text.

    All other names stay unresolved, which is a warning.
    """
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"]
    last = target.rpartition(".")[2]
    if public := PUBLIC.get(last):
        domain = env.domains.python_domain
        found = domain.resolve_any_xref(env, node["refdoc"], app.builder, public, node, text)
        if found:
            return found[0][1]
    is_known = last in ELSEWHERE or locate(target) is not None
    return text if is_known else None


def unlink_builtins(app: Sphinx, document: nodes.document) -> None:
    """Remove the links of names such as ``type``, which also name attributes of ours."""
    for node in list(document.findall(pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node["reftarget"]):
            node.replace_self(node.children)


def shorten_private_names(app: Sphinx, document: nodes.document) -> None:
    """Leave only the last part of a private module's name, and warn of private names beside it."""
    if not app.env.docname.startswith("reference/"):
        return
    for text in list(document.findall(nodes.Text)):
        short = PRIVATE_MODULE.sub("", text)
        if short != text:
            text.parent.replace(text, nodes.Text(short))
    for signature in document.findall(desc_signature):
        if found := re.search(r"(?<![\w'\"])_[A-Za-z]\w*", signature.astext()):
            logger.warning("a signature has the private name %s", found[0], location=signature)


def hide_colons(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Hide colons in a property's docstring: Napoleon takes the words before one for its type."""
    if what in ("property", "attribute", "data"):
        end = lines.index("") if "" in lines else len(lines)
        lines[:end] = [line.replace(":", NO_COLON) for line in lines[:end]]


def show_colons(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Restore the colons that ``hide_colons`` hid, after the sections have been found."""
    lines[:] = [line.replace(NO_COLON, ":") for line in lines]


def tidy_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: object, given: str | None, returned: str
) -> tuple[str, str] | None:
    """Omit the arguments of classes that only the library creates, and fix all other signatures.

    A default that is created for each call is not shown as valid Python, and a context manager is
    shown as the generator that implements it.
    """
    if what == "class" and name.rpartition(".")[2] in MADE_BY_THE_LIBRARY:
        return "", ""
    if not given:
        return None
    if inspect.isgeneratorfunction(inspect.unwrap(thing)) and hasattr(thing, "__wrapped__"):
        returned = returned.replace(
            "collections.abc.Generator[", "contextlib.AbstractContextManager["
        )
    elif inspect.isasyncgenfunction(inspect.unwrap(thing)) and hasattr(thing, "__wrapped__"):
        returned = returned.replace(
            "collections.abc.AsyncGenerator[", "contextlib.AbstractAsyncContextManager["
        )
    return given.replace("<factory>", "..."), returned


class Road(Directive):
    """A block ``{road}``: its steps become boxes in two lanes, which site.css draws."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the legend and the list of the steps."""
        road = nodes.container(classes=["road"])
        legend = nodes.paragraph(classes=["road-legend"])
        legend += nodes.inline("", "decides: src/messagedb/", classes=["decides"])
        legend += nodes.inline(
            "", "does the I/O: _async_src/_messagedb_async/", classes=["performs"]
        )
        steps = nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".")
        for step in parse_road("\n".join(self.content)):
            item = nodes.list_item(classes=[step.lane])
            head = nodes.paragraph(classes=["road-head"])
            head += nodes.literal("", step.name or step.short_file.rpartition("/")[2])
            if step.file:
                head += nodes.inline("", step.short_file, classes=["road-file"])
            item += head
            if step.text:
                item += self.parse_text(step.text)
            steps += item
        road += [legend, steps]
        return [road]

    def parse_text(self, text: str) -> nodes.paragraph:
        """Return a paragraph of a step's text, whose code is marked as in Markdown."""
        paragraph = nodes.paragraph()
        for index, piece in enumerate(text.split("`")):
            paragraph += nodes.literal("", piece) if index % 2 else nodes.Text(piece)
        return paragraph


def add_to_page(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Name the list of versions in a page's head, and correct the HTML of its text and menu."""
    versions = f'<meta name="versions" content="{versions_file}" />'
    context["metatags"] = page_html.remove_relative_tags(context.get("metatags", "")) + versions
    if tree := context.get("furo_navigation_tree"):
        context["furo_navigation_tree"] = tree.replace(
            'role="heading"', 'role="heading" aria-level="2"'
        )
    if document is not None:
        images = {name: Path(app.srcdir, path) for path, (_, name) in app.env.images.items()}
        context["body"] = page_html.correct(context["body"], images)
    if page == "404":
        context["body"] = context["body"].replace('href="', f'href="{notfound_urls_prefix}')


def write_text_files(app: Sphinx, exception: Exception | None) -> None:
    """Write ``llms.txt``, ``llms-full.txt`` and ``versions.json`` beside the pages."""
    if exception is None and app.builder.format == "html":
        versions = json.dumps([{"version": release, "url": "."}])
        Path(app.outdir, "versions.json").write_text(versions, "utf-8")
        docs = Path(app.srcdir)
        rendered = {
            page.name: render_text(app, page.name)
            for page in llms_text.find_pages(docs)
            if llms_text.needs_rendering(page)
        }
        llms_text.write_files(docs, Path(app.outdir), rendered)


def render_text(app: Sphinx, name: str) -> str:
    """Return a page as plain text, with what autodoc has put into it."""
    tree = app.env.get_and_resolve_doctree(name, app.builder)
    translator = TextTranslator(tree, app.builder)
    tree.walkabout(translator)
    return f"# {translator.body.strip()}"


def setup(app: Sphinx) -> None:
    """Register the functions of this file with Sphinx."""
    app.add_directive("road", Road)
    import_what_only_types_need()
    for thing, module_name in DEFINED_IN.items():
        thing.__module__ = module_name  # autodoc reads the overloads, and the order, in its file
    PUBLIC.update(public_names())
    ELSEWHERE.update(known_elsewhere())
    app.connect("missing-reference", resolve)
    app.connect("doctree-read", unlink_builtins)
    app.connect("doctree-read", shorten_private_names)
    app.connect("autodoc-process-docstring", hide_colons, priority=100)
    app.connect("autodoc-process-docstring", show_colons, priority=900)
    app.connect("autodoc-process-signature", tidy_signature)
    app.connect("html-page-context", add_to_page, priority=900)
    app.connect("build-finished", write_text_files)
