"""Two people do anything at all, at once and partly offline: in the end both show the same drawing, and it is the document's.

`TEST_MONKEY_SEEDS=20 pytest tests/browser/test_monkey.py` runs more seeds; `TEST_SEED=7` one of your choice.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from tests.browser.conftest import Meet
from tests.browser.people import Person, handle_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

SEEDS = (
    [int(os.environ["TEST_SEED"])]
    if "TEST_SEED" in os.environ
    else range(int(os.environ.get("TEST_MONKEY_SEEDS", "1")))
)
ROUNDS = 3
ACTIONS = 12
COLOURS = ("#1971c2", "#e03131", "#2f9e44")

Action = Callable[[Person, Random], Awaitable[None]]


async def pick(person: Person, random: Random) -> str | None:
    """Select something, as far as it can be hit."""
    scene = await person.scene()
    if not scene:
        return None
    element = random.choice(scene)
    await person.nothing_selected()
    await person.click(*handle_of(element))
    return str(element["id"])


async def draw(person: Person, random: Random) -> None:
    x, y = random.randrange(250, 850), random.randrange(110, 520)
    await person.press("Escape", random.choice("rdoalxf"))
    await person.drag((x, y), (x + random.randrange(20, 160), y + random.randrange(20, 120)), steps=3)
    await person.press("Escape", "v")


async def move(person: Person, random: Random) -> None:
    scene = await person.scene()
    if scene:
        x, y = handle_of(random.choice(scene))
        await person.nothing_selected()
        await person.drag((x, y), (x + random.randrange(-120, 120), y + random.randrange(-90, 90)))


async def delete(person: Person, random: Random) -> None:
    if await pick(person, random):
        await person.press("Delete")


async def reorder(person: Person, random: Random) -> None:
    if await pick(person, random):
        await person.press(
            *random.choices(("Control+]", "Control+[", "Control+Shift+]", "Control+Shift+["), k=2)
        )


async def take_back(person: Person, random: Random) -> None:
    await person.press(
        *random.choices(("Control+z", "Control+z", "Control+Shift+Z"), k=random.randrange(1, 4))
    )


async def copy(person: Person, random: Random) -> None:
    if await pick(person, random):
        await person.press("Control+d")


async def nudge(person: Person, random: Random) -> None:
    if await pick(person, random):
        await person.press(*["ArrowRight", "ArrowDown"] * random.randrange(1, 4))


async def recolour(person: Person, random: Random) -> None:
    scene = await person.scene()
    if scene:
        ids = {one["id"] for one in random.choices(scene, k=2)}
        await person.recolour(*ids, strokeColor=random.choice(COLOURS))


async def group(person: Person, random: Random) -> None:
    scene = await person.scene()
    if len(scene) > 1:
        await person.nothing_selected()
        await person.click(*handle_of(random.choice(scene)))
        await person.page.keyboard.down("Shift")
        await person.click(*handle_of(random.choice(scene)))
        await person.page.keyboard.up("Shift")
        await person.press(random.choice(("Control+g", "Control+g", "Control+Shift+G")))


async def write(person: Person, random: Random) -> None:
    """Into what is selected, else beside everything."""
    if await pick(person, random):
        await person.press("Enter")
    else:
        await person.press("t")
        await person.click(random.randrange(250, 850), random.randrange(110, 520))
    await person.page.keyboard.type(random.choice(("in", "words", "two words")), delay=random.choice((0, 60)))
    await person.press("Escape", "Escape")


async def away(person: Person, random: Random) -> None:
    await person.ask("() => window.kanvas.provider.disconnect()")
    for _ in range(random.randrange(1, 4)):
        await random.choice((draw, move, reorder, delete, write))(person, random)
    await person.ask("() => window.kanvas.provider.connect()")


KINDS: tuple[tuple[Action, int], ...] = (
    (draw, 6), (move, 5), (reorder, 4), (copy, 2), (take_back, 3), (nudge, 2), (recolour, 2), (group, 1),
    (delete, 1), (write, 3), (away, 1),
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_two_people_do_they_end_with_the_same_drawing(meet: Meet, seed: int) -> None:
    meeting = await meet()
    actions, weights = zip(*KINDS, strict=True)

    async def play(person: Person, round_number: int) -> None:
        random = Random(f"{seed} {round_number} {person.name}")
        for action in random.choices(actions, weights, k=ACTIONS):
            await action(person, random)
        await person.nothing_selected()

    for round_number in range(ROUNDS):
        await asyncio.gather(*(play(person, round_number) for person in meeting.people))
        await meeting.agree()
