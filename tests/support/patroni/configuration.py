"""Text of the configuration files of Patroni and HAProxy: of the tests, and of the docs' page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Patroni's times, in seconds.

    Args:
        ttl: how long the primary's lock in etcd lives after its last renewal.
        loop_wait: how long each Patroni waits between two looks.
        retry_timeout: how long it repeats a request to etcd or PostgreSQL that fails.
    """

    ttl: int = 10
    loop_wait: int = 2
    retry_timeout: int = 4

    def __post_init__(self) -> None:
        """Refuse times with which a primary may lose its lock although nothing has failed."""
        if self.loop_wait + 2 * self.retry_timeout > self.ttl:
            raise ValueError("ttl has to be at least loop_wait + 2 * retry_timeout")


@dataclass(frozen=True)
class Place:
    """The addresses and folders of one node.

    Args:
        name: its name in the cluster.
        host: the address under which the other nodes and the clients reach it.
        port: PostgreSQL's.
        rest_port: that of Patroni's REST API.
        data: PostgreSQL's data folder; Patroni makes it.
        run: the folder of the socket and of the file with passwords.
        programs: the folder of PostgreSQL's programs.
    """

    name: str
    host: str
    port: int = 5432
    rest_port: int = 8008
    data: str = "/var/lib/postgresql/15/store"
    run: str = "/var/run/postgresql"
    programs: str = "/usr/lib/postgresql/15/bin"


@dataclass(frozen=True)
class Secrets:
    """The passwords of the superuser, of replication, and of Patroni's REST API."""

    superuser: str
    replication: str
    rest: str


def patroni_yaml(
    place: Place,
    *,
    etcd: Sequence[str],
    network: str,
    secrets: Secrets,
    timing: Timing | None = None,
) -> str:
    """Return the configuration file of one node's Patroni.

    Args:
        place: of the node.
        etcd: ``host:port`` of each etcd.
        network: the addresses that nodes and clients have, as ``pg_hba.conf`` has them.
        secrets: the passwords.
        timing: Patroni's times.
    """
    return f"""\
scope: store
name: {place.name}

etcd:
  hosts: {",".join(etcd)}

restapi:
  listen: {place.host}:{place.rest_port}
  connect_address: {place.host}:{place.rest_port}
  authentication: {{username: patroni, password: {secrets.rest}}}

{_bootstrap(timing or Timing())}
postgresql:
  listen: {place.host}:{place.port}
  connect_address: {place.host}:{place.port}
  data_dir: {place.data}
  bin_dir: {place.programs}
  pgpass: {place.run}/patroni-{place.name}.pgpass
  parameters:
    unix_socket_directories: {place.run}
  pg_hba:
    - host replication replicator {network} scram-sha-256
    - host all all {network} scram-sha-256
  authentication:
    superuser: {{username: postgres, password: {secrets.superuser}}}
    replication: {{username: replicator, password: {secrets.replication}}}
"""


def _bootstrap(timing: Timing) -> str:
    return f"""\
bootstrap:
  dcs:
    ttl: {timing.ttl}
    loop_wait: {timing.loop_wait}
    retry_timeout: {timing.retry_timeout}
    primary_start_timeout: {timing.ttl // 2}
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        wal_keep_size: 256MB
  initdb:
    - encoding: UTF8
    - locale: C
    - data-checksums
"""


def haproxy_cfg(places: Sequence[Place], *, bind: str) -> str:
    """Return the configuration file of an HAProxy that leads to the primary.

    Args:
        places: of all nodes.
        bind: ``host:port`` that clients connect to.
    """
    servers = "".join(
        f"    server {place.name} {place.host}:{place.port} check port {place.rest_port}\n"
        for place in places
    )
    return f"""\
defaults
    mode tcp
    timeout connect 2s
    timeout check 2s
    timeout client 12h
    timeout server 12h

listen store
    bind {bind}
    option httpchk GET /primary
    http-check expect status 200
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}"""
