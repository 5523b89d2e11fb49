"""The workflows of GitHub name sessions and versions that exist."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import nox.registry
import pytest

import dev
import noxfile

ROOT = Path(__file__).parents[2]
yaml: Any = importlib.import_module("yaml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JOBS: dict[str, dict[str, Any]] = {
    name: job
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text())["jobs"].items()
}


def matrix_of(job: dict[str, Any]) -> dict[str, list[str]]:
    """Return the values of each variable of a job's matrix."""
    matrix: dict[str, Any] = dict(job.get("strategy", {}).get("matrix", {}))
    included: list[dict[str, str]] = matrix.pop("include", [])
    for each in included:
        for name, value in each.items():
            matrix.setdefault(name, []).append(value)
    return matrix


def sessions_of(job: dict[str, Any]) -> set[str]:
    """Return the sessions that the steps of a job run."""
    found: set[str] = set()
    for step in job["steps"]:
        for name in re.findall(r"dev\.py nox -s (.+)", step.get("run", "")):
            values = matrix_of(job)["session"] if "matrix.session" in name else [name]
            found |= {value.partition(" -- ")[0] for value in values}
    return found


@pytest.mark.parametrize("name", sorted(JOBS))
def test_every_session_of_a_job_exists(name: str) -> None:
    registered = nox.registry.get()
    for session in sessions_of(JOBS[name]):
        base, _, python = session.partition("-")
        assert base in registered, session
        assert not python or python in noxfile.PYTHONS, session


def test_every_check_of_ci_is_in_a_job() -> None:
    in_jobs = {each.partition("-")[0] for job in JOBS.values() for each in sessions_of(job)}
    ci = (ROOT / ".ci" / "run").read_text()
    in_ci = {
        word for line in re.findall(r" nox -s (.+)", ci) for word in line.split(" -- ")[0].split()
    }
    assert {each.partition("-")[0] for each in in_ci} <= in_jobs
    assert {"lint", "types", "tests_all-3.11", "conformance"} <= in_ci


def test_the_sample_runs_on_every_python_and_every_postgresql() -> None:
    matrix = matrix_of(JOBS["sample"])
    assert matrix["python"] == noxfile.PYTHONS
    assert matrix["postgres"] == ["14", "15", "16", "17", "18"]
    classifiers = noxfile.PROJECT["project"]["classifiers"]
    named = [each.rpartition(" ")[2] for each in classifiers if "Python :: 3." in each]
    assert named == noxfile.PYTHONS


def test_commands_of_dev_exist() -> None:
    steps = [step.get("run", "") for job in JOBS.values() for step in job["steps"]]
    commands = {command for run in steps for command in re.findall(r"dev\.py (\w+)", run)}
    assert commands == {"nox", "test"}
    assert commands <= dev.COMMANDS.keys()


def test_actions_are_pinned_by_commit() -> None:
    for path in WORKFLOWS:
        for used in re.findall(r"uses: (.+)", path.read_text()):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", used), used


def test_the_last_job_waits_for_all_others() -> None:
    checks = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())["jobs"]
    assert sorted(checks["passed"]["needs"]) == sorted(checks.keys() - {"passed"})


def test_no_two_workflows_have_jobs_of_one_name() -> None:
    jobs = [yaml.safe_load(path.read_text())["jobs"] for path in WORKFLOWS]
    assert sum(map(len, jobs)) == len(JOBS)


def test_only_the_job_that_publishes_may_prove_who_it_is() -> None:
    allowed = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert allowed == {"publish": {"id-token": "write"}}
    assert JOBS["publish"]["environment"] == "pypi"
    assert JOBS["publish"]["needs"] == "build"
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
        assert "secrets." not in path.read_text()


@pytest.mark.parametrize(
    ("tag", "date", "is_published"),
    [
        ("v1.2.0", "2027-01-31", True),
        ("v1.2.1", "2027-01-31", False),
        ("1.2.0", "2027-01-31", False),
        ("v1.2.0", "unreleased", False),
    ],
)
def test_a_tag_is_published_only_if_it_is_the_version(
    tmp_path: Path, tag: str, date: str, is_published: bool
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [1.2.0] - {date}\n")
    steps = {step.get("name", ""): step for step in JOBS["build"]["steps"]}
    (check,) = [step["run"] for name, step in steps.items() if name.startswith("the tag is")]
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", check],  # as GitHub runs it
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "GITHUB_REF_NAME": tag},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode == 0) == is_published, done.stderr
