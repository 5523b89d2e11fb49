"""Configuration of Patroni and HAProxy, as the failover tests and the docs' page have it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.support.patroni.configuration import Place, Secrets, Timing, haproxy_cfg, patroni_yaml

yaml: Any = importlib.import_module("yaml")
SECRETS = Secrets(superuser="first", replication="second", rest="third")
PLACES = [Place(name, f"10.0.0.{n}") for n, name in enumerate("abc", 1)]


def configured(place: Place, **more: Any) -> Any:
    text = patroni_yaml(
        place,
        etcd=["10.0.0.1:2379", "10.0.0.2:2379"],
        network="10.0.0.0/24",
        secrets=SECRETS,
        **more,
    )
    return yaml.safe_load(text)


def test_commits_wait_for_a_standby_and_an_old_primary_is_rewound() -> None:
    shared = configured(PLACES[0])["bootstrap"]["dcs"]
    assert shared["synchronous_mode"] is True
    assert shared["postgresql"]["use_pg_rewind"] is True
    assert (shared["ttl"], shared["loop_wait"], shared["retry_timeout"]) == (10, 2, 4)


def test_the_lock_is_only_renewed_by_its_owner() -> None:
    # Patroni 3.0.2 writes it unconditionally by etcd3: an old primary takes it back.
    settings = configured(PLACES[0])
    assert "etcd" in settings
    assert "etcd3" not in settings


def test_each_node_has_its_own_addresses_and_all_the_same_rest() -> None:
    first, second = (configured(place) for place in PLACES[:2])
    assert first["postgresql"]["listen"] == "10.0.0.1:5432"
    assert second["restapi"]["connect_address"] == "10.0.0.2:8008"
    assert first["etcd"]["hosts"] == "10.0.0.1:2379,10.0.0.2:2379"
    for name in ("scope", "etcd", "bootstrap"):
        assert first[name] == second[name]


def test_nobody_is_let_in_without_a_password() -> None:
    settings = configured(PLACES[0])
    assert all(line.endswith(" scram-sha-256") for line in settings["postgresql"]["pg_hba"])
    assert settings["restapi"]["authentication"]["password"] == "third"
    login = settings["postgresql"]["authentication"]
    assert (login["superuser"]["password"], login["replication"]["password"]) == ("first", "second")


def test_a_primary_has_time_for_two_retries_before_its_lock_ends() -> None:
    with pytest.raises(ValueError, match="ttl has to be at least"):
        Timing(ttl=10, loop_wait=3, retry_timeout=4)
    shared = configured(PLACES[0], timing=Timing(ttl=30, loop_wait=10, retry_timeout=10))
    assert shared["bootstrap"]["dcs"]["ttl"] == 30


def test_haproxy_asks_each_patroni_and_ends_sessions_of_an_old_primary() -> None:
    text = haproxy_cfg(PLACES, bind="127.0.0.1:5000")
    servers = [line.split() for line in text.splitlines() if line.lstrip().startswith("server ")]
    assert [words[1:] for words in servers] == [
        [place.name, f"{place.host}:5432", "check", "port", "8008"] for place in PLACES
    ]
    assert "option httpchk GET /primary\n" in text
    assert "on-marked-down shutdown-sessions\n" in text
    assert "bind 127.0.0.1:5000\n" in text
