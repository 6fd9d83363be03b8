"""The embedded Valkey: a private socket with a password, and nothing kept."""

import stat
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trading.adapters.embedded.valkey import EmbeddedValkey


def test_a_client_without_the_password_is_refused(valkey: EmbeddedValkey) -> None:
    for wrong in (None, "guess"):
        client = redis.Redis(
            unix_socket_path=str(valkey.socket), password=wrong, protocol=2, retry=Retry(NoBackoff(), 0)
        )
        with pytest.raises(redis.AuthenticationError), client:
            client.ping()


def test_the_socket_is_closed_to_other_users(valkey: EmbeddedValkey) -> None:
    for path in (valkey.socket, valkey.socket.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_clients_cannot_reconfigure_the_server(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url(), protocol=3) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.config_get("*")


def test_the_password_is_not_in_the_configuration(valkey: EmbeddedValkey) -> None:
    assert valkey.password not in Path(valkey.configuration).read_text()


def test_streams_and_publishing_work(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, protocol=3) as client:
        client.xadd("tape", {"b": b"1"}, maxlen=10)
        assert client.xlen("tape") == 1
        assert client.publish("tape", b"1") == 0
