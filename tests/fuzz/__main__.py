"""The full run: a million updates at rooms in a child process, one in ten more over real sockets.

    python -m tests.fuzz --updates 1000000            what a release is proved with, about an hour
    python -m tests.fuzz --seed 4711 --updates 60     one game again (seeds are printed)
    python -m tests.fuzz --replay tests/fuzz/seeds/*.txt

Owns: the child, its end, and keeping what broke it: the game goes into tests/fuzz/seeds/, which every run of
the suite replays. Ends with 0 when nothing was found.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz import sockets

ROOT = Path(__file__).parents[2]
SEEDS = Path(__file__).with_name("seeds")


def run_worker(*arguments: str) -> tuple[list[dict[str, Any]], int, str]:
    """Run the child to its end: what it said, its exit code, what it complained."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = [json.loads(line) for line in child.stdout.splitlines() if line.startswith("{")]
    return said, child.returncode, child.stderr


def keep(note: Path, name: str) -> Path:
    """Put the game that broke something among those that are always played."""
    kept = SEEDS / f"{name}.txt"
    kept.write_bytes(note.read_bytes())
    return kept


def describe(said: list[dict[str, Any]], code: int, complaint: str) -> str:
    if said and "failed" in said[-1]:
        return str(said[-1]["failed"])
    return f"the process ended with {code}: {complaint.strip()[-600:]}"


def fuzz_in_process(seed: int, updates: int, chunk: int = 20_000) -> int:
    """Play `updates` updates from `seed` on. Returns how many games broke something."""
    played = refused = rows = finds = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "game.txt"
        while played < updates:
            said, code, complaint = run_worker(
                "games", str(seed), str(min(chunk, updates - played)), str(note)
            )
            games = [one for one in said if "updates" in one]
            played += sum(one["updates"] for one in games)
            refused += sum(one["refused"] for one in games)
            rows += sum(one["rows"] for one in games)
            seed += len(games)
            if code:
                finds += 1
                # of the game that broke, its moves count too: it made them
                played += note.read_text(encoding="ascii").count("\n")
                kept = keep(note, f"seed-{seed}")
                tell(f"seed {seed}: {describe(said, code, complaint)}\n  kept as {kept.relative_to(ROOT)}")
                seed += 1
            took_s = time.monotonic() - began
            done = f"{played} updates ({rows} rows, {refused} refused), {finds} finds"
            tell(f"{done}, seed {seed}, {took_s:.0f} s")
    return finds


def replay(paths: list[Path]) -> int:
    """Play kept games again, each in a child of its own. Returns how many still break something."""
    broken = 0
    for path in paths:
        said, code, complaint = run_worker("replay", str(path.resolve()))
        if code:
            broken += 1
            tell(f"{path.name}: {describe(said, code, complaint)}")
    tell(f"{len(paths)} kept games, {broken} break something")
    return broken


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz the admission of updates."
    )
    parser.add_argument(
        "--updates", type=int, default=1_000_000, help="in process; a tenth more over sockets"
    )
    parser.add_argument("--seed", type=int, default=1, help="the first game's")
    parser.add_argument("--over", choices=["process", "socket", "both"], default="both")
    parser.add_argument(
        "--replay", type=Path, nargs="+", metavar="FILE", help="play these games and no other"
    )
    asked = parser.parse_args()
    if asked.replay:
        return 1 if replay(asked.replay) else 0
    finds = replay(sorted(SEEDS.glob("*.txt")))
    if asked.over != "socket":
        finds += fuzz_in_process(asked.seed, asked.updates)
    if asked.over != "process":
        finds += sockets.fuzz(asked.seed, asked.updates // 10, tell)
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
