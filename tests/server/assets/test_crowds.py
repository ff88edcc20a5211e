"""Many at once: what one user, and all together, may have under way; what a kill leaves, and for how long."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from server import folder_locks
from server.assets import intake
from server.services import clean_up
from tests.server.assets.pictures import noise, png, sha256
from tests.server.assets.sending import Sender, code, enter
from tests.server.edge import open_edge

LOOPBACK = (ip_network("127.0.0.0/8"),)


async def test_one_user_who_sends_slowly_does_not_hold_up_the_others(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "TURN_S", 1.0)
    goes_on = asyncio.Event()

    async def slow(data: bytes) -> AsyncIterator[bytes]:
        yield data[:-1]
        await goes_on.wait()
        yield data[-1:]

    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        ben = Sender(edge, await edge.guest("Ben"), ada.room_id)
        pictures = [png(8, 8 + n) for n in range(70)]
        sending = [
            asyncio.create_task(
                ada.person.ask(
                    "PUT", f"{ada.at}/{sha256(one)}", content=slow(one), headers={"Content-Type": "image/png"}
                )
            )
            for one in pictures
        ]
        too_many = len(pictures) - intake.RECEIVED.per_user
        places = edge.services.intake.receiving._of_users
        async with asyncio.timeout(120):
            while (own := places.get(ada.person.user_id)) is None or not own.locked():
                await asyncio.sleep(0.01)
            assert (await ben.put(png(4, 4))).status_code == 201
            # all who found no place are told so before there are places again
            while sum(one.done() for one in sending) < too_many:
                await asyncio.sleep(0.01)
        # those who have one take their time to be checked
        monkeypatch.setattr(intake, "TURN_S", 120.0)
        goes_on.set()
        answers = await asyncio.gather(*sending)
        refused = [code(one) for one in answers if one.is_error]
        assert refused == [(503, "busy")] * too_many


async def test_imports_of_one_user_wait_for_each_other(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "TURN_S", 0.5)
    asking = most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await reader.read()
        asking -= 1
        writer.close()

    site = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{site.sockets[0].getsockname()[1]}/a.png"
    try:
        async with open_edge(tmp_path, empty_database, import_networks=LOOPBACK) as edge:
            ada = await enter(edge)
            asks = [
                asyncio.create_task(ada.person.ask("POST", f"{ada.at}/import", json={"url": url}))
                for _ in range(20)
            ]
            async with asyncio.timeout(120):
                while most < intake.IMPORTED.per_user or sum(one.done() for one in asks) < 20 - most:
                    await asyncio.sleep(0.01)
            going_on = {one for one in asks if not one.done()}
            done = set(asks) - going_on
            assert most == len(going_on) == intake.IMPORTED.per_user
            assert {code(one.result()) for one in done} == {(503, "busy")}
            for one in going_on:
                one.cancel()
            await asyncio.wait(going_on)
    finally:
        site.close()


async def test_what_is_fetched_to_be_checked_does_not_fill_the_disk(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a bucket each file comes to this machine first."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        pictures = [noise(60, 20 + n) for n in range(16)]
        ids = []
        for one in pictures:
            upload = (await ada.announce(one, "image/jpeg")).json()["upload"]
            assert (await ada.send(upload["request"], one)).is_success
            ids.append(upload["id"])
        monkeypatch.setattr(edge.services.blobs, "local_path", lambda _key: None)
        most = 0
        checks = asyncio.gather(*(ada.complete(one) for one in ids))
        while not checks.done():
            most = max(most, len(list((tmp_path / intake.FOLDER).iterdir())))
            await asyncio.sleep(0.001)
        assert {one.status_code for one in await checks} == {201}
        # and the renditions of those that are done
        assert most <= intake.COMPLETED.per_user + edge.services.settings.jobs_at_once


async def test_what_a_kill_left_goes_and_what_is_at_work_stays(tmp_path: Path, empty_database: Path) -> None:
    """At the next start nobody holds it; a piece of a blob, which has no lock, goes after a day."""
    left = tmp_path / intake.FOLDER / "left"
    left.mkdir(parents=True)
    (left / "received").write_bytes(b"half of it")
    async with open_edge(tmp_path, empty_database) as edge:
        assert not left.exists()
        begun = tmp_path / "blobs" / ".incoming" / "tmpabc"
        begun.parent.mkdir(parents=True)
        begun.write_bytes(b"half of it")
        async with edge.services.intake.open_desk() as desk:
            # as another process does when it starts
            await clean_up(edge.services)
            assert desk.folder.exists()
            assert begun.exists()
        assert not desk.folder.exists()
        old = time.time() - intake.LEFT_OVER_S - 60
        os.utime(begun, (old, old))
        await clean_up(edge.services)
        assert not begun.exists()


async def test_where_there_are_no_locks_what_is_left_goes_after_a_day(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_locks, "_take", lambda _folder: None)
    left = tmp_path / intake.FOLDER / "left"
    left.mkdir(parents=True)
    async with open_edge(tmp_path, empty_database) as edge:
        assert left.exists()
        old = time.time() - intake.LEFT_OVER_S - 60
        os.utime(left, (old, old))
        await clean_up(edge.services)
        assert not left.exists()
