"""Fetch axe, with which the tests in a browser check that pages are accessible."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

from fetch_message_db import CACHE, FetchError, move_into_cache, pack

VERSION = "4.14.1"
"""The version of the npm package axe-core."""

SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""The digest of its archive, as the registry names it."""

_SCRIPT = "package/axe.min.js"


def fetch() -> Path:
    """Return the file of axe, fetching it if it is not cached.

    Raises:
        FetchError: npm is missing or failed, or the archive is not the one that was pinned. The
            cache was not changed.
    """
    target = CACHE / f"axe-core-{VERSION}"
    if not (target / _SCRIPT).is_file():
        _fill_cache(target)
    return target / _SCRIPT


def _fill_cache(target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(f"npm was not found, and {target / _SCRIPT} is not there.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        pack(npm, folder, f"axe-core@{VERSION}")
        (archive,) = folder.glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != SHA512:
            raise FetchError(f"the archive of axe-core {VERSION} has the digest {digest}")
        unpacked = folder / "unpacked"
        with tarfile.open(archive) as opened:
            script = opened.extractfile(_SCRIPT)
            if script is None:
                raise FetchError(f"the archive of axe-core {VERSION} has no {_SCRIPT}")
            (unpacked / _SCRIPT).parent.mkdir(parents=True)
            (unpacked / _SCRIPT).write_bytes(script.read())
        move_into_cache(unpacked, target, _SCRIPT)


if __name__ == "__main__":
    print(fetch())
