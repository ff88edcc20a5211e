"""server.blobs.trial: what is found out about storage that is slow. The rest is in the contract."""

from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from server.blobs import trial
from server.blobs.base import Signed


class Slow:
    """Storage whose addresses are good for as long as was said, by a clock of its own; `answer_s` pass until
    it looks at one."""

    def __init__(self, answer_s: float, *, forgets_s: float = 0.0) -> None:
        self.answer_s = answer_s
        self.forgets_s = forgets_s
        self.now_s = 100.0
        self.ends: dict[str, float] = {}

    async def sign_get(self, key: str, *, expires_s: int, **_: Any) -> Signed:
        url = f"/{len(self.ends)}"
        self.ends[url] = self.now_s + expires_s - self.forgets_s
        return Signed("GET", url, {}, None)  # type: ignore[arg-type]

    async def request(self, _method: str, url: str, **_: Any) -> httpx2.Response:
        self.now_s += self.answer_s
        return httpx2.Response(200 if self.now_s < self.ends[url] else 403)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


async def tried(storage: Slow, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(trial, "time", SimpleNamespace(monotonic=lambda: storage.now_s))
    monkeypatch.setattr(trial, "asyncio", SimpleNamespace(sleep=storage.sleep))
    return await trial._Trials(storage, storage).expiry()  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer_s", "expires_s"), [(0.1, 2), (1.9, 2), (2.5, 4), (9.0, 16)])
async def test_an_address_that_ran_out_on_the_way_is_signed_for_longer(
    answer_s: float, expires_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = await tried(Slow(answer_s), monkeypatch)
    assert told == f"refused after its {expires_s} seconds"


async def test_one_that_is_refused_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(trial.Failed, match="while it was valid"):
        await tried(Slow(0.5, forgets_s=60), monkeypatch)
    with pytest.raises(trial.Failed, match="not answered within 16 s"):
        await tried(Slow(20), monkeypatch)
    with pytest.raises(trial.Failed, match="that has expired is answered"):
        await tried(Slow(0.5, forgets_s=-60), monkeypatch)
