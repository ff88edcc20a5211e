"""Reading: who, which form, what part, with which headers; listings."""

from pathlib import Path

import pytest

from tests.server.assets.pictures import noise, pdf, photo, png, sha256
from tests.server.assets.sending import Sender, code, enter
from tests.server.edge import open_edge


async def test_headers_of_an_image(tmp_path: Path, empty_database: Path) -> None:
    """A6, A7."""
    data = png()
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(data, filename='so "called".png')
        for url in (asset["url"], f"{ada.at}/{asset['id']}", f"{ada.at}/{asset['sha256']}"):
            read = await ada.person.ask("GET", url)
            assert (read.status_code, read.content) == (200, data)
            told = read.headers
            assert told["content-type"] == "image/png"
            assert told["content-length"] == str(len(data))
            assert told["etag"] == f'"{sha256(data)}"'
            assert told["cache-control"] == "private, max-age=31536000, immutable"
            assert told["vary"] == "Authorization, Cookie"
            assert told["x-content-type-options"] == "nosniff"
            assert told["content-disposition"].startswith("inline; filename=")
            assert "filename*=UTF-8''so%20%22called%22.png" in told["content-disposition"]
            assert "sandbox" in told["content-security-policy"]
            assert "script-src" not in told["content-security-policy"]
            assert told["accept-ranges"] == "bytes"
            head = await ada.person.ask("HEAD", url)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(data))
            known = await ada.person.ask("GET", url, {"If-None-Match": told["etag"]})
            assert (known.status_code, known.content) == (304, b"")


async def test_a_part_of_it(tmp_path: Path, empty_database: Path) -> None:
    data = pdf(100_000)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(data, "application/pdf", filename="a.pdf")
        part = await ada.read(asset["id"], Range="bytes=10-19")
        assert (part.status_code, part.content) == (206, data[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
        assert part.headers["content-length"] == "10"
        last = await ada.read(asset["id"], Range="bytes=-5")
        assert last.content == data[-5:]
        stale = await ada.read(asset["id"], Range="bytes=0-1", **{"If-Range": '"other"'})
        assert (stale.status_code, stale.content) == (200, data)
        beyond = await ada.read(asset["id"], Range=f"bytes={len(data)}-")
        assert beyond.status_code == 416
        assert beyond.headers["content-range"] == f"bytes */{len(data)}"
        assert beyond.headers["content-type"] == "application/problem+json"


async def test_smaller_forms(tmp_path: Path, empty_database: Path) -> None:
    data = noise(2600, 600)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(data, "image/jpeg", filename="wide.jpg")
        soon = await ada.read(f"{asset['sha256']}?rendition=thumb")
        assert soon.status_code == 200
        if soon.headers["content-type"] == "image/jpeg":
            assert soon.headers["cache-control"] == "private, max-age=60", (
                "the smaller form comes in a moment"
            )
        asset = await ada.with_renditions(asset["id"], "thumb", "web")
        sizes = {one["name"]: (one["width"], one["height"]) for one in asset["renditions"]}
        assert sizes == {"thumb": (256, 59), "web": (2048, 473)}
        for one in asset["renditions"]:
            read = await ada.person.ask("GET", one["url"])
            assert read.headers["content-type"] == one["content_type"] == "image/webp"
            assert len(read.content) == one["size_bytes"]
            assert "filename*=UTF-8''wide.webp" in read.headers["content-disposition"]
            assert read.headers["etag"] == f'"{asset["sha256"]}-{one["name"]}"'
            assert read.headers["cache-control"] == "private, max-age=31536000, immutable"
        wrong = await ada.read(f"{asset['sha256']}?rendition=huge")
        assert wrong.status_code == 422


async def test_sent_to_storage(tmp_path: Path, empty_database: Path) -> None:
    """An answer is kept for half as long as its address is good; at S3 an address for GET takes no HEAD."""
    async with open_edge(
        tmp_path, empty_database, handlers={}, asset_delivery="redirect", signed_url_ttl_s=60
    ) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())
        for query in ("", "?rendition=thumb"):
            sent = await ada.person.ask("GET", asset["url"] + query)
            assert sent.status_code == 302
            assert sent.headers["cache-control"] == "private, max-age=30"
            assert (await edge.http.get(sent.headers["location"])).content == png()
        head = await ada.person.ask("HEAD", asset["url"])
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(png())))
        assert head.headers["content-type"] == "image/png"


async def test_who_is_let_in(tmp_path: Path, empty_database: Path) -> None:
    """A7."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())
        at = f"{ada.at}/{asset['id']}"
        for url in (asset["url"], f"{asset['url']}/metadata", at, ada.at, "/api/v1/assets"):
            assert (await edge.http.get(url)).status_code == 401
        await edge.http.post("/api/v1/auth/guest", json={"name": "Ben"})
        assert (await edge.http.get(at)).status_code == 200, "an <img> sends the cookie"
        edge.http.cookies.clear()
        await ada.person.ask("DELETE", ada.at.removesuffix("/assets"))
        for url in (asset["url"], f"{asset['url']}/metadata"):
            assert code(await ada.person.ask("GET", url)) == (404, "asset_not_found")
        for url in (at, ada.at):
            assert code(await ada.person.ask("GET", url)) == (404, "room_not_found")
        assert (await ada.person.ask("GET", "/api/v1/assets")).json()["items"] == []
        await ada.person.ask("POST", f"{ada.at.removesuffix('/assets')}/restore")
        assert (await ada.read(asset["id"])).status_code == 200


async def test_an_image_from_before_there_were_rows(tmp_path: Path, empty_database: Path) -> None:
    data = photo()
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await enter(edge), await enter(edge, "Ben")
        for room_id in (ada.room_id, "images"):
            folder = tmp_path / "blobs" / room_id
            folder.mkdir(exist_ok=True, parents=True)
            (folder / sha256(data)).write_bytes(data)
        (folder / ("0" * 64)).write_bytes(b"no picture")
        assert code(await ben.read(sha256(data))) == (404, "asset_not_found")
        read = await ada.read(sha256(data))
        assert (read.status_code, read.content) == (200, data)
        asset = (await ada.person.ask("GET", ada.at)).json()["items"][0]
        assert (asset["sha256"], asset["user_id"]) == (sha256(data), ada.person.user_id)
        await ada.with_renditions(asset["id"], "thumb")
        assert (await ada.read(sha256(data))).content == data
        # a room may be called like the folder of all others
        room = await ada.person.room(id="images")
        of_images = Sender(edge, ada.person, room["id"])
        assert (await of_images.read(sha256(data))).content == data
        assert code(await of_images.read("0" * 64)) == (404, "asset_not_found")


@pytest.mark.parametrize("name", ["x", "A" * 64, "a" * 63, "../secret", "%2e%2e%2fsecret", "a" * 64 + ".png"])
async def test_what_names_nothing_is_not_found(tmp_path: Path, empty_database: Path, name: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        assert (await ada.read(name)).status_code == 404
        assert (await ada.person.ask("GET", f"/api/v1/assets/{name}")).status_code == 404


async def test_listings(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        ben = Sender(edge, await edge.guest("Ben"), ada.room_id)
        other = Sender(edge, ada.person, (await ada.person.room())["id"])
        made = [(await ada.stored(png(4, 4 + n)))["id"] for n in range(5)]
        of_ben = (await ben.stored(png(4, 30)))["id"]
        elsewhere = (await other.stored(png(4, 31)))["id"]

        async def walk(who: Sender, url: str) -> list[str]:
            found, cursor = [], None
            while True:
                query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
                page = (await who.person.ask("GET", url + query)).json()
                assert len(page["items"]) <= 2
                found += [one["id"] for one in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    return found

        assert await walk(ada, ada.at) == [of_ben, *reversed(made)]
        assert await walk(ada, "/api/v1/assets") == [elsewhere, *reversed(made)]
        assert await walk(ben, "/api/v1/assets") == [of_ben]
        assert (await ada.person.ask("GET", f"{ada.at}?cursor=x")).status_code == 422
        assert (await ada.person.ask("GET", f"{ada.at}?limit=51")).status_code == 422
