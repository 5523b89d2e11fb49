"""Generate the sync variant from the hand-written async variant; refuse unconvertible code.

    python scripts/make_sync.py            write messagedb/_sync, tests/_sync, examples/synchronous
    python scripts/make_sync.py --check    write nothing; exit 1 and name what is stale

The first form converts only what has changed since the last time: ``.cache/make_sync`` has the
rest. So do the tests. The second form and builds convert all.

unasync changes the tokens; sync_names.py lists the names; sync_prose.py rewrites docstrings and
comments; sync_refusals.py finds code that cannot be converted. A generated file has the lines of
its source, so its line numbers are those of the file to edit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sync_names
import sync_prose
import sync_refusals
import unasync
from sync_names import BUILT_IN, PACKAGE_NAMES, PHRASES, TEST_NAMES

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(".cache", "make_sync")


class ConversionError(Exception):
    """The async variant contains code without a sync form; nothing was written."""


@dataclass(frozen=True)
class Job:
    """A folder to convert: source, target, names, and the names that must be used."""

    source: Path
    target: Path
    names: Mapping[str, str]
    must_use: Iterable[str]
    check_strings: bool


@dataclass(frozen=True)
class Outcome:
    """The result of a run: the files that were (or would be) changed, and names to delete."""

    changed: list[Path]
    unused: list[str]
    files: int
    sha256: str


def job_for_package(root: Path = ROOT) -> Job:
    """Return the job that generates ``messagedb._sync``."""
    return Job(
        root / "_async_src" / "_messagedb_async",
        root / "src" / "messagedb" / "_sync",
        PACKAGE_NAMES,
        PACKAGE_NAMES,
        check_strings=True,
    )


def job_for_tests(root: Path = ROOT) -> Job:
    """Return the job that generates ``tests/_sync``."""
    names = PACKAGE_NAMES | TEST_NAMES
    source, target = root / "tests" / "_async", root / "tests" / "_sync"
    return Job(source, target, names, TEST_NAMES, check_strings=False)


def job_for_examples(root: Path = ROOT) -> Job:
    """Return the job that generates ``examples/synchronous``, which is in git: users read it."""
    source, target = root / "examples" / "asynchronous", root / "examples" / "synchronous"
    return Job(source, target, PACKAGE_NAMES, (), check_strings=False)


def make_package(root: Path = ROOT) -> None:
    """Write the sync variant of the package. Builds call this.

    Raises:
        ConversionError: something cannot be converted, or a listed name is never used.
    """
    outcome = run(job_for_package(root))
    if outcome.unused:
        raise ConversionError(_unused_text(outcome.unused))


def make_untracked(root: Path = ROOT) -> None:
    """Write the sync variants that are not in git: those of package and tests.

    The tests' conftest.py calls this, in each process of a run: what is in the cache is not
    converted again. Listed names that are never used are accepted here: builds and ``--check``
    refuse them.

    Raises:
        ConversionError: something cannot be converted.
    """
    for job in (job_for_package(root), job_for_tests(root)):
        run(job, cache=root / CACHE)


def run(job: Job, *, write: bool = True, cache: Path | None = None) -> Outcome:
    """Convert one folder, and write the files that have changed.

    Args:
        job: the folder to convert.
        write: False to only find out which files would be written or removed.
        cache: a folder that keeps converted files, so that only changed ones are converted again.

    Raises:
        ConversionError: it names each file, line and fix; nothing was written.
    """
    sources = {path.relative_to(job.source): path for path in sorted(job.source.rglob("*.py"))}
    texts = {name: path.read_text(encoding="utf-8") for name, path in sources.items()}
    keys = _cache_keys(job, texts) if cache else {}
    known = _load(cache, keys) if cache else {}
    wanted = {name: path for name, path in sources.items() if name not in known}
    problems: list[str] = []
    for name in wanted:
        problems.extend(sync_refusals.before(sources[name], texts[name], job.names))
    if problems:
        raise ConversionError("\n".join(problems))
    converted: dict[Path, str] = {}
    for name, tokens in _convert_tokens(wanted, job).items():
        text, found = _finish(sources[name], texts[name], tokens, job)
        converted[name] = text
        problems.extend(found)
    if problems:
        raise ConversionError("\n".join(problems))
    made = {name: known.get(name) or converted[name] for name in sources}
    if cache:
        _keep(cache, {keys[name]: text for name, text in converted.items()})
    words = set(re.findall(r"\w+", "\n".join(texts.values())))
    unused = [name for name in job.must_use if name not in words]
    digest = hashlib.sha256()
    for name, text in made.items():
        digest.update(f"{name.as_posix()}\0{text}\0".encode())
    return Outcome(list(_store(job.target, made, write)), unused, len(made), digest.hexdigest())


def _cache_keys(job: Job, texts: Mapping[Path, str]) -> dict[Path, str]:
    """Return each file's key: it changes with everything that the file's conversion depends on."""
    common = hashlib.sha256(sys.version.encode())
    for module in (__file__, sync_names.__file__, sync_prose.__file__, sync_refusals.__file__):
        common.update(Path(module).read_bytes())
    common.update(Path(unasync.__file__).read_bytes())
    common.update(repr((str(job.source), job.check_strings, sorted(job.names.items()))).encode())
    keys: dict[Path, str] = {}
    for name, text in texts.items():
        digest = common.copy()
        digest.update(f"{name.as_posix()}\0{text}".encode())
        keys[name] = digest.hexdigest()
    return keys


def _load(cache: Path, keys: Mapping[Path, str]) -> dict[Path, str]:
    """Return the converted files that the cache has."""
    files = {name: cache / key for name, key in keys.items()}
    return {name: file.read_text("utf-8") for name, file in files.items() if file.is_file()}


def _keep(cache: Path, converted: Mapping[str, str]) -> None:
    """Write converted files into the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    for key, text in converted.items():
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".tmp", delete=False) as file:
            file.write(text.encode())
        os.replace(file.name, cache / key)


def _convert_tokens(sources: Mapping[Path, Path], job: Job) -> dict[Path, str]:
    """Let unasync convert the files, into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        rule = unasync.Rule(f"{job.source}{os.sep}", f"{folder}{os.sep}", dict(job.names))
        made: dict[Path, str] = {}
        for name, path in sources.items():
            # One by one, under its own name only: unasync replaces every match in a path.
            unasync.unasync_files([str(path)], [rule])
            made[name] = (Path(folder) / name).read_text(encoding="utf-8")
        return made


def _finish(path: Path, source: str, converted: str, job: Job) -> tuple[str, list[str]]:
    """Rewrite the prose, add the note on line 1, and find remaining async code."""
    try:
        prose = sync_prose.spans(converted)
    except SyntaxError as error:
        return "", [
            f"{path}:{error.lineno}: the sync variant does not parse ({error.msg}): "
            "write await x() and not await(x()); ruff format does"
        ]
    problems: list[str] = []
    names = {**BUILT_IN, **job.names}
    text = converted
    for span in reversed(prose):
        new = sync_prose.rewrite(text[span.start : span.end], names, PHRASES)
        problems.extend(
            f"{path}:{span.line + line}: {word!r} is left in a docstring or comment of the sync"
            " variant: make it true of both variants, or add the phrase to sync_names.py"
            for line, word in sync_prose.leftovers(new)
        )
        text = text[: span.start] + new + text[span.end :]
    if text.count("\n") != source.count("\n"):
        problems.append(
            f"{path}:1: the sync variant has another number of lines: keep await and its operand, "
            "and async and its def, with or for, on one line"
        )
    problems.extend(sync_refusals.after(path, text, strings=job.check_strings))
    line, _, rest = text.partition("\n")
    shown = path.relative_to(job.source.parent.parent).as_posix()
    problems.sort(key=lambda problem: int(problem.removeprefix(f"{path}:").partition(":")[0]))
    return f"{line}  # generated from {shown}: edit that file\n{rest}", problems


def _store(target: Path, made: Mapping[Path, str], write: bool) -> Iterator[Path]:
    """Write changed files, remove stale ones, and return both."""
    for name, text in made.items():
        path = target / name
        if path.is_file() and path.read_bytes() == text.encode():
            continue
        yield path
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Renamed into place: another test run may be importing the file right now.
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
                file.write(text.encode())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
    for path in sorted(target.rglob("*.py")):
        if path.relative_to(target) not in made:
            yield path
            if write:
                path.unlink(missing_ok=True)


def _unused_text(unused: Sequence[str]) -> str:
    return f"never used, so delete from scripts/sync_names.py: {', '.join(unused)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 done or up to date, 1 stale or refused."""
    parser = argparse.ArgumentParser(description="Generate the sync from the async variant.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    check: bool = parser.parse_args(arguments).check
    failed = False
    for job in (job_for_package(), job_for_tests(), job_for_examples()):
        try:
            outcome = run(job, write=not check, cache=None if check else ROOT / CACHE)
        except ConversionError as error:
            print(error, file=sys.stderr)
            failed = True
            continue
        for path in outcome.changed:
            print(f"{'stale' if check else 'written or removed'}: {path.relative_to(ROOT)}")
        if outcome.unused:
            print(_unused_text(outcome.unused), file=sys.stderr)
        shown = job.target.relative_to(ROOT).as_posix()
        print(f"{shown}: {outcome.files} files, sha256 {outcome.sha256}")
        failed = failed or bool(outcome.unused) or (check and bool(outcome.changed))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
