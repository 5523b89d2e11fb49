"""A PostgreSQL server with TLS on a port of this machine, and certificates that openssl makes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.support.backend import make_url
from tests.support.server import OwnServer

VARIABLE = "MESSAGEDB_TEST_PG_BIN"
_SYSTEM = Path("/usr/lib/postgresql")


class NoTLSError(Exception):
    """No server with TLS, or no openssl, is on this machine; the text names what is missing."""


class Certificates:
    """Keys and certificates: of an authority ``ca``, of another one, and those that they signed."""

    def __init__(self) -> None:
        if shutil.which("openssl") is None:
            raise NoTLSError("openssl is not installed (Debian: apt-get install openssl)")
        self.folder = Path(tempfile.mkdtemp(prefix="mdbt-tls-", dir="/tmp"))
        self.folder.chmod(0o755)
        for name in ("ca", "other"):
            self._make(name, "-x509", "-days", "2", "-subj", f"/CN={name}")
        self.sign("server", "db.example", "ca")
        self.sign("client", "postgres", "ca")
        self.sign("stranger", "postgres", "other")

    def sign(self, name: str, common_name: str, authority: str) -> None:
        """Make a key, and a certificate for it that an authority has signed."""
        request = self.folder / f"{name}.csr"
        self._make(name, "-subj", f"/CN={common_name}", out=request)
        signed = ["-CA", self.path(authority), "-CAkey", self.path(authority, "key")]
        more = ["-CAcreateserial", "-days", "2", "-out", self.path(name)]
        _openssl("x509", "-req", "-in", str(request), *signed, *more)

    def path(self, name: str, kind: str = "crt") -> str:
        """Return the path of a certificate or a key."""
        return str(self.folder / f"{name}.{kind}")

    def close(self) -> None:
        """Remove them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self, name: str, *options: str, out: Path | None = None) -> None:
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", self.path(name, "key")]
        _openssl("req", "-new", *key, "-out", str(out or self.path(name)), *options)
        Path(self.path(name, "key")).chmod(0o600)


class TLSServer(OwnServer):
    """A server with TLS on a free port of 127.0.0.1, beside its socket.

    Raises:
        NoTLSError: the programs are not there.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "max_connections": "10",
            "superuser_reserved_connections": "3",
        }
        super().__init__(programs=_programs(), settings=settings, start=False)
        names = {
            "ssl_cert_file": "server.crt",
            "ssl_key_file": "server.key",
            "ssl_ca_file": "ca.crt",
        }
        for name in names.values():
            shutil.copy(certificates.folder / name, self.data)
        self._way.own(self.data)
        lines = [f"{option} = '{name}'\n" for option, name in names.items()]
        (self.data / "postgresql.auto.conf").write_text("ssl = on\n" + "".join(lines))
        self.start()

    def tcp(self, user: str = "postgres", **options: str) -> str:
        """Return the URL of this server, by its port."""
        place = {"host": "127.0.0.1", "port": self.port, "dbname": "postgres", "user": user}
        return make_url(**place, gssencmode="disable", **options)

    def set_tls(self, value: bool) -> None:
        """Turn TLS on or off for new connections."""
        path = self.data / "postgresql.auto.conf"
        first, _, rest = path.read_text().partition("\n")
        assert first.startswith("ssl = ")
        path.write_text(f"ssl = {'on' if value else 'off'}\n{rest}")
        self.reload()


def _programs() -> Path:
    """Find programs of a PostgreSQL that was built with TLS: the variable's, or Debian's newest."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    found = [path for path in _SYSTEM.glob("*/bin") if path.parent.name.isdecimal()]
    for folder in sorted(found, key=lambda path: int(path.parent.name), reverse=True):
        if (folder / "initdb").exists():
            return folder
    raise NoTLSError(
        "no PostgreSQL with TLS is on this machine (Debian: apt-get install postgresql; or let "
        f"{VARIABLE} name the folder of its programs)"
    )


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
