"""Kanvas without a server: a page visited before starts, is drawn in, and everything arrives later."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.people import COUNT, Meeting, Person, new_person
from tests.browser.watch import NO_SERVER
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

# Controlled by an activated worker, which has everything it needs for a reload.
WORKER = """async () => { const { active } = await navigator.serviceWorker.ready;
  return active?.state === "activated" && Boolean(navigator.serviceWorker.controller); }"""
ACTIVE = """async () => { const { active } = await navigator.serviceWorker.ready;
  if (active.state !== "activated") await new Promise((done) => active.addEventListener("statechange", done)); }"""


async def test_a_page_on_its_way_when_the_worker_became_active_is_taken_over(
    browser: Browser, tmp_path: Path
) -> None:
    with LiveServer(tmp_path / "data") as server:
        context = await browser.new_context(service_workers="allow")
        try:
            page, beside = await context.new_page(), await context.new_page()
            await beside.goto(f"{server.url}/healthz")

            async def hold(route: Route) -> None:
                await beside.evaluate(ACTIVE)
                await route.continue_()

            await page.goto(server.url)
            await context.route("**/?late", hold)
            await page.goto(f"{server.url}/?late")
            await page.wait_for_function("() => navigator.serviceWorker.controller !== null")
        finally:
            await context.close()


async def test_a_room_visited_before_starts_and_works_without_the_server(
    browser: Browser, everyone: list[Person], tmp_path: Path
) -> None:
    with LiveServer(tmp_path / "data") as server:
        ada = await new_person(browser, server, "Ada", service_workers="allow")
        everyone.append(ada)
        token = server.guest("Witness")
        room_id = server.room(token, title="On the road")
        meeting = Meeting([ada], server, token, room_id)
        await ada.enter(room_id)
        box = await ada.draw("r", (300, 120), (400, 200))
        await meeting.agree(lambda scene: len(scene) == 1)
        await ada.page.goto(server.url)
        await expect(ada.page.get_by_role("link", name="On the road")).to_be_visible()
        await ada.until(WORKER)

        with ada.watch.expecting(NO_SERVER, r"ERR_FAILED"):
            assert await asyncio.to_thread(server.stop) == 0
            await ada.page.reload()
            await expect(ada.page.get_by_test_id("lobby-offline")).to_be_visible()
            await ada.page.get_by_role("link", name="On the road").click()
            await ada.arrive()
            await ada.sees(box["id"], x=300)
            await ada.ask(COUNT)
            disc = await ada.draw("o", (500, 120), (600, 200))
            # One, or more where the machine is so slow that it was a long gesture.
            made = await ada.ask("() => window.mine")
            await expect(ada.indicator).to_have_text(f"offline, {made} change{'s' * (made > 1)} waiting")

            # What was drawn without a server outlives a reload without a server.
            await ada.kept()
            await ada.page.reload()
            await ada.arrive()
            await ada.sees(disc["id"], x=500)
            await expect(ada.indicator).to_contain_text("changes waiting")
            await ada.drag_element(box["id"], 0, 150)

            await asyncio.to_thread(server.start)
            scene = await meeting.agree(lambda scene: len(scene) == 2)
            assert next(one for one in scene if one["id"] == box["id"])["y"] == 270
            await expect(ada.indicator).to_have_text("saved")
