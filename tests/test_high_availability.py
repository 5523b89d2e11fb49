"""The page on high availability: its files are those that were run, its figures those that were."""

from __future__ import annotations

import re

import pytest
from docs_blocks import DOCS, blocks_of
from failover.report import Report
from psycopg.conninfo import conninfo_to_dict

from tests.support.patroni.configuration import Place, Secrets, haproxy_cfg, patroni_yaml

PAGE = DOCS / "high-availability.md"
FIGURES = DOCS / "figures" / "patroni.json"
PLACES = [Place(name, f"10.0.0.{number}") for number, name in enumerate("abc", 1)]


@pytest.fixture
def page() -> str:
    return PAGE.read_text()


@pytest.fixture
def report() -> Report:
    return Report.read(FIGURES)


def the_block(language: str, beginning: str) -> str:
    found = [block.text for block in blocks_of(PAGE) if block.language == language]
    (text,) = [text for text in found if text.startswith(beginning)]
    return text


def test_the_configuration_of_patroni_is_the_one_that_the_failovers_ran() -> None:
    assert the_block("yaml", "scope:") == patroni_yaml(
        PLACES[0],
        etcd=[f"{place.host}:2379" for place in PLACES],
        network="10.0.0.0/24",
        secrets=Secrets(superuser="change-me-1", replication="change-me-2", rest="change-me-3"),
    )


def test_the_configuration_of_haproxy_is_the_one_that_the_failovers_ran() -> None:
    assert the_block("text", "defaults") == haproxy_cfg(PLACES, bind="127.0.0.1:5000")


def test_the_urls_name_all_hosts_or_haproxy(page: str) -> None:
    urls = [
        conninfo_to_dict(url) for url in re.findall(r"postgresql://message_store@[^`\"\s]+", page)
    ]
    hosts = [url for url in urls if url["host"] == "10.0.0.1,10.0.0.2,10.0.0.3"]
    assert hosts
    for url in hosts:
        assert (url["target_session_attrs"], url["connect_timeout"]) == ("read-write", "2")
    assert [url["port"] for url in urls if url["host"] == "127.0.0.1"] == ["5000"]
    assert len(hosts) + 1 == len(urls)


def test_the_figures_of_the_page_are_those_of_the_run(page: str, report: Report) -> None:
    for table in (report.totals(), report.table(), report.errors()):
        assert table in page
    programs = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    assert programs in page
    assert f"{report.nodes} nodes" in page
    timing = ", ".join(f"`{name}: {value}`" for name, value in report.timing.items())
    assert timing in page


def test_the_run_lost_nothing_and_tried_enough(report: Report) -> None:
    assert report.problems(10) == []
    zeros = ("missing", "doubled", "unhandled", "effects_missing", "effects_doubled")
    assert [report.figures[name] for name in zeros] == [0] * len(zeros)
    assert report.timing == {"ttl": 10, "loop_wait": 2, "retry_timeout": 4}


def test_the_file_of_the_figures_is_named_on_the_page(page: str) -> None:
    assert f"`{FIGURES.relative_to(DOCS.parent).as_posix()}`" in page
    assert FIGURES.is_file()
