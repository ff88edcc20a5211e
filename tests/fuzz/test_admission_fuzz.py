"""A slice of the fuzz, from the same seeds each time; `python -m tests.fuzz` plays a million updates."""

import os
from pathlib import Path

import pytest

from tests.fuzz import sockets
from tests.fuzz.__main__ import SEEDS, describe, run_worker

UPDATES = int(os.environ.get("TEST_FUZZ_UPDATES", "1200"))
EXAMPLES = int(os.environ.get("TEST_FUZZ_EXAMPLES", "40"))
SEED = int(os.environ.get("TEST_SEED", "20"))
KEPT = sorted(SEEDS.glob("*.txt"))


def test_rooms_survive_whatever_they_are_sent(tmp_path: Path) -> None:
    """D1 D2 D4 D5 D9 D10 R1 R6: no crash, no 50 ms of processor time, no byte changed by what is refused; the
    room can be joined, encoded, checkpointed and loaded, and is the same for everybody."""
    said, code, complaint = run_worker("games", str(SEED * 1000), str(UPDATES), str(tmp_path / "game.txt"))
    assert code == 0, f"{describe(said, code, complaint)}\n{(tmp_path / 'game.txt').read_text()[-4000:]}"
    assert sum(game["updates"] for game in said) == UPDATES
    # neither all refused nor all let in, or the grammar is worth nothing
    assert sum(game["rows"] for game in said) > UPDATES / 10
    assert sum(game["refused"] for game in said) > UPDATES / 10


def test_hypothesis_finds_nothing_smaller(tmp_path: Path) -> None:
    """D1 D10 R1: the same grammar with hypothesis choosing, which shrinks what it finds."""
    said, code, complaint = run_worker("hypothesis", str(EXAMPLES), str(tmp_path / "game.txt"))
    assert code == 0, f"{describe(said, code, complaint)}\n{(tmp_path / 'game.txt').read_text()[-4000:]}"


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_what_was_found_once_stays_mended(path: Path) -> None:
    """D1 D2 D11 R1: games that broke something before."""
    said, code, complaint = run_worker("replay", str(path))
    assert code == 0, describe(said, code, complaint)


async def test_a_server_survives_whatever_it_is_sent(tmp_path: Path) -> None:
    """D1 R1 H4 H6: over sockets: the process lives; its rooms can be joined, are checkpointed at the stop
    and come back the same."""
    told: list[str] = []
    assert await sockets.fuzz_server(tmp_path, SEED * 1000, UPDATES // 5, told.append) == 0, told
