"""How much a room and a user may store."""

import asyncio
from pathlib import Path

import pytest

from server.assets import keeping
from tests.server.assets.pictures import noise, png
from tests.server.assets.sending import Sender, code, enter
from tests.server.edge import open_edge


async def test_a_room_is_full(tmp_path: Path, empty_database: Path) -> None:
    """A9. What is announced counts, and counts no more when it is canceled."""
    async with open_edge(tmp_path, empty_database, room_quota_bytes=10_000) as edge:
        ada = await enter(edge)
        ben = Sender(edge, await edge.guest("Ben"), ada.room_id)
        announced = await ada.announce(b"x" * 6_000)
        assert announced.status_code == 201
        refused = await ben.announce(b"y" * 6_000)
        assert code(refused) == (413, "quota_exceeded")
        assert "This room has 4000 bytes of 10000 left, and this file has 6000" in refused.json()["detail"]
        assert code(await ben.put(noise(90, 90), "image/jpeg")) == (413, "quota_exceeded")
        await ada.person.ask("DELETE", f"{ada.at}/{announced.json()['upload']['id']}")
        assert (await ben.announce(b"y" * 6_000)).status_code == 201
        assert (await enter(edge, "Cleo")).room_id != ada.room_id


async def test_a_user_has_no_space_left(tmp_path: Path, empty_database: Path) -> None:
    """A9. In all rooms together."""
    async with open_edge(tmp_path, empty_database, user_quota_bytes=10_000) as edge:
        ada = await enter(edge)
        elsewhere = Sender(edge, ada.person, (await ada.person.room())["id"])
        assert (await ada.announce(b"x" * 6_000)).status_code == 201
        refused = await elsewhere.announce(b"y" * 6_000)
        assert code(refused) == (413, "quota_exceeded")
        assert refused.json()["detail"].startswith("You have 4000 bytes of 10000 left")
        ben = Sender(edge, await edge.guest("Ben"), ada.room_id)
        assert (await ben.announce(b"y" * 6_000)).status_code == 201


async def test_many_at_once_do_not_take_more(tmp_path: Path, empty_database: Path) -> None:
    """A9."""
    async with open_edge(tmp_path, empty_database, room_quota_bytes=10_000) as edge:
        ada = await enter(edge)
        answers = await asyncio.gather(*(ada.announce(b"x" * (3_000 + n)) for n in range(12)))
        assert sorted(one.status_code for one in answers) == [201] * 3 + [413] * 9


async def test_unfinished_uploads_are_counted(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "UPLOADS_MOST", 3)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        answers = [await ada.announce(b"x" * n) for n in range(1, 5)]
        assert [one.status_code for one in answers] == [201, 201, 201, 429]
        assert answers[-1].json()["code"] == "too_many_uploads"


async def test_too_large(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, max_asset_bytes=10_000) as edge:
        ada = await enter(edge)
        assert code(await ada.announce(b"x" * 10_001)) == (413, "asset_too_large")
        assert code(await ada.put(png() + b"x" * 10_001)) == (413, "asset_too_large")

        async def trickle():  # type: ignore[no-untyped-def]
            for _ in range(100):
                yield b"x" * 1_000

        streamed = await ada.person.ask(
            "PUT", f"{ada.at}/{'a' * 64}", content=trickle(), headers={"Content-Type": "image/png"}
        )
        assert code(streamed) == (413, "asset_too_large")
        assert list((tmp_path / "incoming").iterdir()) == []
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        size = 100 * 2**20 + 1
        assert code(await ada.announce(b"x", size=size)) == (413, "asset_too_large"), "an image"
        assert (await ada.announce(b"x", "video/mp4", size=size)).status_code == 201
