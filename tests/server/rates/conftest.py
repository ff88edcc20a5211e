"""How long Redis may take to answer where it is there."""

import pytest


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine longer than people are made to wait."""
    monkeypatch.setattr("server.redis.client.DEADLINE_S", 60.0)
    monkeypatch.setattr("server.rates.failover.DEADLINE_S", 60.0)
