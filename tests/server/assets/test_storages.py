"""What holds on files and on S3 alike: an upload from its announcement to its removal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.assets import intake, uploads
from server.assets import sweep as sweeping
from server.assets.sweep import UNREFERENCED_KEPT
from server.blobs.base import IMMUTABLE
from server.services import clean_up
from tests.server.assets.conftest import Place
from tests.server.assets.pictures import SVG, noise, pdf, photo, png, sha256
from tests.server.assets.sending import DEADLINE_S, Sender, code, enter
from tests.server.assets.test_imports import open_site
from tests.server.assets.test_sweep import age

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


async def join(place: Place, name: str = "Ada") -> Sender:
    return await enter(place.edge, name, place.outside)


async def beside(place: Place, sender: Sender, name: str) -> Sender:
    """Somebody else in the same room."""
    return Sender(place.edge, await place.edge.guest(name), sender.room_id, place.outside)


async def holds(place: Place, sender: Sender, count: int) -> list[str]:
    """So many blobs of this person are stored in the end, and no part or temporary file."""
    async with asyncio.timeout(DEADLINE_S):
        while len(found := await place.contents(sender.person.user_id)) != count:
            await asyncio.sleep(0.02)
    return found


async def has_nothing(place: Place, sender: Sender) -> None:
    assert (await sender.person.ask("GET", sender.at)).json() == {"items": [], "next_cursor": None}
    await holds(place, sender, 0)


async def test_announce_send_complete_read(place: Place) -> None:
    """A1, A2."""
    data = png(20, 10)
    ada = await join(place)
    announced = await ada.announce(data, filename="Plan of the house.png")
    assert announced.status_code == 201
    assert announced.json()["asset"] is None
    upload = announced.json()["upload"]
    assert upload["parts"] is None
    assert code(await ada.complete(upload["id"])) == (409, "upload_incomplete")
    sent = await ada.send(upload["request"], data)
    assert sent.is_success, sent.text
    assert code(await ada.read(upload["id"])) == (404, "asset_not_found"), "not before it was checked"
    assert code(await ada.read(sha256(data))) == (404, "asset_not_found")
    done = await ada.complete(upload["id"])
    assert done.status_code == 201
    asset = done.json()
    assert asset["url"] == done.headers["location"] == f"/api/v1/assets/{upload['id']}"
    assert asset | {"created_at": "", "renditions": []} == {
        "id": upload["id"],
        "room_id": ada.room_id,
        "sha256": sha256(data),
        "filename": "Plan of the house.png",
        "content_type": "image/png",
        "size_bytes": len(data),
        "width": 20,
        "height": 10,
        "frames": 1,
        "color": "#204060",
        "user_id": ada.person.user_id,
        "created_at": "",
        "url": asset["url"],
        "renditions": [],
    }
    for name in (upload["id"], sha256(data)):
        assert await ada.content(name) == data
    assert (await ada.follow(await ada.person.ask("GET", asset["url"]))).content == data
    again = await ada.complete(upload["id"])
    assert (again.status_code, again.json()["id"]) == (200, asset["id"])
    # nothing is overwritten, by the address that was given out either
    assert (await ada.send(upload["request"], png(20, 10, "#ffffff"))).is_error
    assert await ada.content(asset["id"]) == data


async def test_the_same_bytes_are_stored_once(place: Place) -> None:
    """A3."""
    data = png(11, 11)
    ada = await join(place)
    ben = await beside(place, ada, "Ben")
    # both announce before either completes
    of_ada, of_ben = (await ada.announce(data)).json(), (await ben.announce(data)).json()
    assert of_ada["upload"]["id"] != of_ben["upload"]["id"]
    for who, told in ((ada, of_ada), (ben, of_ben)):
        assert (await who.send(told["upload"]["request"], data)).is_success
    first, second = await asyncio.gather(
        ada.complete(of_ada["upload"]["id"]), ben.complete(of_ben["upload"]["id"])
    )
    assert sorted((first.status_code, second.status_code)) == [200, 201]
    assert first.json()["id"] == second.json()["id"]
    third = await ben.announce(data, filename="other.png")
    assert third.status_code == 200
    assert third.json()["upload"] is None
    assert third.json()["asset"]["id"] == first.json()["id"]
    assert (await ben.put(data)).status_code == 200
    listed = (await ben.person.ask("GET", ben.at)).json()["items"]
    assert [one["id"] for one in listed] == [first.json()["id"]]
    await ada.with_renditions(first.json()["id"], "thumb")
    first_one, other = (ada, ben) if first.json()["user_id"] == ada.person.user_id else (ben, ada)
    assert len([key for key in await holds(place, first_one, 2) if key.endswith(".png")]) == 1
    await holds(place, other, 0)
    # another room has its own
    cleo = await join(place, "Cleo")
    assert (await cleo.announce(data)).status_code == 201


async def test_two_complete_one_upload_at_once(place: Place) -> None:
    """What tells where the photo was taken is gone, and so is the photo as it came."""
    data = photo(orientation=6)
    ada = await join(place)
    upload = (await ada.announce(data, "image/jpeg")).json()["upload"]
    assert (await ada.send(upload["request"], data)).is_success
    done = await asyncio.gather(*(ada.complete(upload["id"]) for _ in range(5)))
    assert sorted(one.status_code for one in done) == [200, 200, 200, 200, 201]
    assert {one.json()["id"] for one in done} == {upload["id"]}
    read = await ada.content(upload["id"])
    assert b"Camera of Ada" in data
    assert b"Camera of Ada" not in read
    await ada.with_renditions(upload["id"], "thumb")
    await holds(place, ada, 2)


async def test_canceled_and_refused_leave_nothing(place: Place) -> None:
    data = png()
    ada = await join(place)
    ben = await beside(place, ada, "Ben")
    upload = (await ada.announce(data)).json()["upload"]
    assert (await ada.send(upload["request"], data)).is_success
    at = f"{ada.at}/{upload['id']}"
    assert code(await ben.person.ask("DELETE", at)) == (404, "upload_not_found")
    assert code(await ben.complete(upload["id"])) == (404, "upload_not_found")
    assert (await ada.person.ask("DELETE", at)).status_code == 204
    assert code(await ada.person.ask("DELETE", at)) == (404, "upload_not_found")
    assert code(await ada.complete(upload["id"])) == (404, "upload_not_found")
    await has_nothing(place, ada)
    for sent, kind, refusal in (
        (png(color="#204061"), "image/png", (422, "asset_hash_mismatch")),
        (b"<html><script>alert(1)</script>", "image/png", (415, "asset_type_refused")),
        (photo()[:-200], "image/jpeg", (422, "asset_broken")),
    ):
        announced = data if refusal[1] == "asset_hash_mismatch" else sent
        upload = (await ada.announce(announced, kind)).json()["upload"]
        assert (await ada.send(upload["request"], sent)).is_success
        assert code(await ada.complete(upload["id"])) == refusal
        assert code(await ada.complete(upload["id"])) == (404, "upload_not_found")
        await has_nothing(place, ada)
    # another length or type than announced does not even arrive
    upload = (await ada.announce(data)).json()["upload"]
    for wrong in (data[:-1], data + b"x"):
        assert (await ada.send(upload["request"], wrong)).status_code in (403, 413, 422)
    assert (await ada.send(upload["request"], data, **{"Content-Type": "text/html"})).is_client_error
    assert code(await ada.complete(upload["id"])) == (409, "upload_incomplete")
    asset = await ada.stored(data)
    assert code(await ada.person.ask("DELETE", f"{ada.at}/{asset['id']}")) == (409, "conflict")


async def test_what_has_arrived_is_not_asked_for_again(place: Place) -> None:
    """A5. The answer to the last request was lost."""
    ada = await join(place)
    data = png(13, 57)
    first = (await ada.announce(data)).json()["upload"]
    assert (await ada.send(first["request"], data)).is_success
    again = (await ada.announce(data)).json()["upload"]
    assert (again["id"], again["request"], again["parts"]) == (first["id"], None, None)
    assert (await ada.complete(first["id"])).status_code == 201


async def test_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5."""
    data = pdf(12 * MIB)
    monkeypatch.setattr(uploads, "ONE_PIECE_MOST_BYTES", 1024)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)
    ada = await join(place)
    upload = (await ada.announce(data, "application/pdf", filename="big.pdf")).json()["upload"]
    assert upload["request"] is None
    assert upload["parts"] == {"part_bytes": 5 * MIB, "count": 3}
    at = f"{ada.at}/{upload['id']}/parts"
    too_far = await ada.person.ask("POST", at, json={"numbers": [1, 4]})
    assert code(too_far) == (422, "invalid")
    # sent twice, the last one counts
    # (the S3 server of the tests keeps both copies, and tells them apart by the second)
    for bodies in ({3: b"x" * (len(data) - 10 * MIB)}, {1: data[: 5 * MIB], 3: data[10 * MIB :]}):
        signed = (await ada.person.ask("POST", at, json={"numbers": list(bodies)})).json()["parts"]
        for part in signed:
            assert part["size_bytes"] == len(bodies[part["number"]])
            sent = await ada.send(part["request"], bodies[part["number"]])
            assert sent.is_success, sent.text
            assert (await ada.send(part["request"], b"y" * 100)).is_client_error, "of another length"
        await asyncio.sleep(1.1)
    stored = (await ada.person.ask("GET", at)).json()["stored"]
    assert [one["number"] for one in stored] == [1, 3]
    refused = await ada.complete(upload["id"])
    assert code(refused) == (409, "upload_incomplete")
    assert "1 of 3 parts have not arrived: 2" in refused.json()["detail"]
    again = (await ada.announce(data, "application/pdf", filename="big.pdf")).json()["upload"]
    assert again["id"] == upload["id"], "it goes on"
    part = (await ada.person.ask("POST", at, json={"numbers": [2]})).json()["parts"][0]
    await ada.send(part["request"], data[5 * MIB : 10 * MIB])
    done = await ada.complete(upload["id"])
    assert done.status_code == 201, done.text
    assert (await ada.complete(upload["id"])).status_code == 200
    read = await ada.follow(await ada.read(upload["id"]))
    assert sha256(read.content) == sha256(data)
    assert read.headers["content-disposition"].startswith('attachment; filename="big.pdf"')
    assert code(await ada.person.ask("GET", at)) == (409, "conflict")
    await holds(place, ada, 1)
    # canceled in the middle
    other = (await ada.announce(data[:-1], "application/pdf")).json()["upload"]
    at = f"{ada.at}/{other['id']}"
    part = (await ada.person.ask("POST", f"{at}/parts", json={"numbers": [1]})).json()["parts"][0]
    assert (await ada.send(part["request"], data[: 5 * MIB])).is_success
    assert (await ada.person.ask("DELETE", at)).status_code == 204
    await holds(place, ada, 1)


async def test_parts_that_were_joined_but_not_checked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server was killed or busy between the two: the upload is complete all the same."""
    data = pdf(6 * MIB)
    monkeypatch.setattr(uploads, "ONE_PIECE_MOST_BYTES", 1024)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)
    ada = await join(place)
    upload = (await ada.announce(data, "application/pdf")).json()["upload"]
    at = f"{ada.at}/{upload['id']}"
    for part in (await ada.person.ask("POST", f"{at}/parts", json={"numbers": [1, 2]})).json()["parts"]:
        first = (part["number"] - 1) * 5 * MIB
        assert (await ada.send(part["request"], data[first : first + part["size_bytes"]])).is_success
    with monkeypatch.context() as patched:
        patched.setattr(intake, "TURN_S", 0.0)
        patched.setattr(place.edge.services.intake, "checking", asyncio.Semaphore(0))
        assert code(await ada.complete(upload["id"])) == (503, "busy")
    stored = (await ada.person.ask("GET", f"{at}/parts")).json()["stored"]
    assert [one["number"] for one in stored] == [1, 2]
    assert (await ada.complete(upload["id"])).status_code == 201
    assert await ada.content(upload["id"]) == data
    # and where storage has forgotten the parts, as after a week or by hand
    lost = (await ada.announce(data + b"\n", "application/pdf")).json()["upload"]
    blobs = place.edge.services.blobs
    async for one in blobs.list_started():
        if lost["id"] in one.key:
            await blobs.abort_parts(one.key, one.parts_id)
    missing = await ada.person.ask("GET", f"{ada.at}/{lost['id']}/parts")
    assert code(missing) == (404, "upload_not_found")
    again = (await ada.announce(data + b"\n", "application/pdf")).json()["upload"]
    assert again["id"] != lost["id"]


async def test_smaller_forms_and_how_they_are_read(place: Place) -> None:
    """A6."""
    data = noise(2600, 600)
    ada = await join(place)
    asset = await ada.stored(data, "image/jpeg", filename='so "wide".jpg')
    asset = await ada.with_renditions(asset["id"], "thumb", "web")
    await holds(place, ada, 3)
    for one in asset["renditions"]:
        read = await ada.follow(await ada.person.ask("GET", one["url"]))
        assert read.headers["content-type"] == one["content_type"] == "image/webp"
        assert len(read.content) == one["size_bytes"]
    wide = await ada.person.ask("GET", asset["url"])
    if place.strict is not None:
        assert wide.status_code == 302
        assert wide.headers["cache-control"] == "private, max-age=1800", "half as long as the address is good"
        assert set(wide.headers["vary"].split(", ")) == {"Authorization", "Cookie", "Sec-Fetch-Mode"}
        by_script = await ada.person.ask("GET", asset["url"], {"Sec-Fetch-Mode": "cors"})
        addresses = {one.headers["location"].partition("X-Amz-Expires=")[2][:5] for one in (wide, by_script)}
        assert addresses == {"3600&", "3599&"}, "a browser keeps what each was answered apart"
        assert wide.headers["location"].startswith(f"http://127.0.0.1:{place.strict.port}/")
        soon = await ada.read(f"{(await ada.stored(png()))['id']}?rendition=web")
        assert soon.headers["cache-control"] == "private, max-age=60", (
            "there may be a smaller form in a moment"
        )
        part = await ada.follow(wide, Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, data[10:20])
        altered = wide.headers["location"].replace(
            "response-content-type=image", "response-content-type=text"
        )
        assert altered != wide.headers["location"]
        assert (await place.outside.get(altered)).status_code == 403
    read = await ada.follow(wide)
    assert read.content == data
    assert read.headers["content-type"] == "image/jpeg"
    assert read.headers["content-disposition"].startswith("inline; filename=")
    assert "filename*=UTF-8''so%20%22wide%22.jpg" in read.headers["content-disposition"]
    assert read.headers["cache-control"].endswith("max-age=31536000, immutable")
    if place.strict is not None:
        assert read.headers["cache-control"] == IMMUTABLE
    drawing = await ada.stored(SVG, "image/svg+xml", filename="a.svg")
    read = await ada.follow(await ada.read(drawing["id"]))
    assert read.headers["content-disposition"].startswith("attachment; ")
    assert b"script" not in read.content


async def test_streamed_by_the_server(place: Place, stream: Sender) -> None:
    """A6. The same answers, whichever storage is behind."""
    data = pdf(300_000)
    asset = await stream.stored(data, "application/pdf", filename="a.pdf")
    whole = await stream.read(asset["id"])
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["etag"] == f'"{sha256(data)}"'
    assert whole.headers["content-length"] == str(len(data))
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in whole.headers["content-security-policy"]
    for asked, span in (("10-19", slice(10, 20)), ("-5", slice(-5, None)), ("299990-", slice(299_990, None))):
        part = await stream.read(asset["id"], Range=f"bytes={asked}")
        assert (part.status_code, part.content) == (206, data[span])
        assert part.headers["content-range"].endswith(f"/{len(data)}")
    assert (await stream.read(asset["id"], Range=f"bytes={len(data)}-")).status_code == 416
    known = await stream.read(asset["id"], **{"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    head = await stream.person.ask("HEAD", asset["url"])
    assert (head.headers["content-length"], head.content) == (str(len(data)), b"")


async def test_straight_and_from_an_address(place: Place) -> None:
    """A1, A11."""
    data = photo(60, 40)
    ada = await join(place)
    straight = await ada.put(png(6, 7), filename="small.png")
    assert straight.status_code == 201
    assert await ada.content(straight.json()["id"]) == png(6, 7)
    async with open_site(photo=data, cut=noise(90, 90)[:-50]) as site:
        done = await ada.person.ask("POST", f"{ada.at}/import", json={"url": f"{site}/photo.jpeg"})
        assert done.status_code == 201, done.text
        asset = done.json()
        assert (asset["filename"], asset["sha256"]) == ("photo.jpeg", sha256(data))
        assert b"Camera of Ada" not in await ada.content(asset["id"])
        cut = await ada.person.ask("POST", f"{ada.at}/import", json={"url": f"{site}/cut.jpg"})
        assert code(cut) == (422, "asset_broken")
    for one in (straight.json(), asset):
        await ada.with_renditions(one["id"], "thumb")
    await holds(place, ada, 4)


async def test_sweep_and_purge(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5, A8, A10."""
    ada = await join(place)
    services = place.edge.services
    asset = await ada.stored(png(5, 5))
    await ada.with_renditions(asset["id"], "thumb")
    # bytes, and an upload in parts, whose rows were never written
    key = f"images/{ada.person.user_id}/01kf3w9d2rj4x0v7c8m5qh6t1b-lost.png"
    await services.blobs.put(key, once(png()), size_bytes=len(png()), content_type="image/png")
    await services.blobs.start_parts(f"{key}2", content_type="video/mp4")
    monkeypatch.setattr(sweeping, "UNKNOWN_KEPT", timedelta(seconds=-5))
    assert (await sweeping.sweep(services, is_dry=True)).unknown_keys == [key]
    assert len(await place.contents(ada.person.user_id)) == 4
    await sweeping.sweep(services, is_dry=False)
    await holds(place, ada, 2)
    monkeypatch.undo()
    # an upload that was never completed
    upload = (await ada.announce(png(9, 9))).json()["upload"]
    assert (await ada.send(upload["request"], png(9, 9))).is_success
    await age(place.edge, timedelta(hours=25))
    assert upload["id"] in (await sweeping.sweep(services, is_dry=False)).uploads
    await holds(place, ada, 2)
    # an asset nobody refers to
    await age(place.edge, UNREFERENCED_KEPT + timedelta(days=1))
    assert asset["id"] in [one["id"] for one in (await sweeping.sweep(services, is_dry=False)).assets]
    await holds(place, ada, 0)
    # a room for good
    asset = await ada.stored(png(5, 5))
    await ada.with_renditions(asset["id"], "thumb")
    await ada.person.ask("DELETE", ada.at.removesuffix("/assets"))
    await age(place.edge, timedelta(days=31))
    await clean_up(services)
    await holds(place, ada, 0)


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data
