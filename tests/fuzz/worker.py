"""The child that plays: games by seed, one after another, every move noted before it is made.

    python -m tests.fuzz.worker games <first seed> <updates> <note file>
    python -m tests.fuzz.worker hypothesis <examples> <note file>
    python -m tests.fuzz.worker replay <moves file>

Owns: playing, and the note from which the parent learns what a child that died was doing. Prints one line of
JSON per game. Ends with 0, with 1 when a promise was broken (the last line says which), or by a crash.
"""

import faulthandler
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from party.ports import Schema
from tests.fuzz.game import Game, Move, Slow, read_moves
from tests.fuzz.grammar import Grammar

HANG_S = 60.0
"""Wall time after which a game hangs that never comes back; a C thread of faulthandler sees to it."""

MEMORY_BYTES = 3 * 1024**3
"""Address space of the child: what asks for more ends it, and not the machine."""

UPDATES = 60
"""Of one game."""


class Note:
    """A file that holds the game under way, move by move, also when we die in the middle of one."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)

    def start(self, schema: str) -> None:
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, f"schema {schema}\n".encode())

    def add(self, move: Move) -> None:
        os.write(self._file, f"{move.kind} {move.data.hex()}".strip().encode() + b"\n")


def schema_of(seed: int) -> Schema:
    return "canvas" if seed % 3 == 0 else "open"


def moves_of(random: Random, grammar: Grammar, game: Game, updates: int) -> Iterator[Move]:
    """The moves of one game; each depends on what the room has after the one before."""
    for _ in range(updates):
        kind = random.random()
        made = grammar.make(game.known)
        if kind < 0.8:
            yield Move("update", made)
        elif kind < 0.92:
            yield Move("step2", made)
        elif kind < 0.99:
            yield Move("http", made)
        else:
            yield Move("raw", made)
        if random.random() < 0.85:
            yield Move("settle")


def play(random: Random, schema: Schema, note: Note, updates: int = UPDATES) -> Game:
    """One game. A move that was slow once is looked at again: its game is replayed to its end."""
    note.start(schema)
    game = Game(schema)
    grammar = Grammar(random, schema)
    played: list[Move] = []
    try:
        for move in moves_of(random, grammar, game, updates):
            note.add(move)
            played.append(move)
            try:
                game.play(move)
            except Slow:
                replay(schema, played)
        game.finish()
    finally:
        grammar.close()
    return game


def replay(schema: Schema, moves: list[Move]) -> None:
    """The same moves in a new room. Raises Slow when one of them is slow twice; what it did not survive."""
    game = Game(schema)
    for at, move in enumerate(moves):
        try:
            game.play(move)
        except Slow:
            again = Game(schema, hang_s=float("inf"))
            for one in moves[:at]:
                again.play(one)
            again._hang_s = game._hang_s
            again.play(move)
    game.finish()


def say(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def play_games(first: int, updates: int, note: Note) -> int:
    played = 0
    seed = first
    while played < updates:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            game = play(Random(seed), schema_of(seed), note, min(UPDATES, updates - played))
        except BaseException as failure:
            say(seed=seed, failed=f"{type(failure).__name__}: {failure}"[:2000])
            return 1
        played += game.moves
        say(seed=seed, updates=game.moves, refused=game.refused, rows=len(game.rows))
        seed += 1
    faulthandler.cancel_dump_traceback_later()
    return 0


def play_examples(examples: int, note: Note) -> int:
    """The same game with hypothesis as the source of chance: what fails is made smaller."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.randoms(use_true_random=False), st.sampled_from(["open", "canvas"]), st.integers(1, 12))
    def example(random: Random, schema: Schema, updates: int) -> None:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        play(random, schema, note, updates)

    try:
        example()
    except BaseException as failure:
        say(failed=f"{type(failure).__name__}: {failure}"[:2000])
        return 1
    say(examples=examples)
    return 0


def play_again(path: Path) -> int:
    """A game from a file."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    schema, moves = read_moves(path)
    try:
        replay(schema, moves)
    except BaseException as failure:
        say(file=path.name, failed=f"{type(failure).__name__}: {failure}"[:2000])
        return 1
    say(file=path.name, moves=len(moves))
    return 0


def limit_memory() -> None:
    """Rust aborts where memory ends, as it would on a full machine."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main(arguments: list[str]) -> int:
    faulthandler.enable()
    limit_memory()
    match arguments:
        case ["games", first, updates, path]:
            return play_games(int(first), int(updates), Note(Path(path)))
        case ["hypothesis", examples, path]:
            return play_examples(int(examples), Note(Path(path)))
        case ["replay", *paths]:
            return max([play_again(Path(path)) for path in paths], default=0)
    sys.stderr.write(__doc__ or "")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
