"""Files are examined and rendered in child processes, which may be hurt without hurting the server.

Owns: the two children, how long work may take, whose fault it is when one ends. Does not own: the work and
the child's limits (`workshop.py`), where files come from and go to.
Two children, because whoever uploads waits for the one, and nobody for the other. Both go after a minute
without work.
Rules: what kills the child (memory, CPU time, a crash in native code) is the fault of the file, 422; what
takes long without using its CPU time is the machine's, 503; the server itself never reads a byte of the file.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import structlog

from party.errors import Unavailable
from server.children import Child, ChildEnded, ChildNotStarted, Crowded, Overdue, open_child
from server.media.base import Rendered, Verdict
from server.media.workshop import confine, examine, remove, render, renditions, spares
from server.problems import AssetBroken

log = structlog.get_logger("kanvas.media")

DEADLINE_S: Final = 120.0
"""For one file: four times the CPU time it may take, because rooms go first."""

MOST_WAITING: Final = 32
WAIT_S: Final = 60.0
"""For people, who are told to come again. Jobs wait as long as they may take, and there are never more of
them than a process does at once: sent away they would have failed."""

JOBS_WAITING: Final = 1000
JOB_WAIT_S: Final = 900.0
IDLE_S: Final = 60.0
GONE_S: Final = 5.0
"""How long a killed child is waited for before its files are removed."""

P = ParamSpec("P")
T = TypeVar("T")


class Studio:
    """Looks files through and makes smaller ones. Make one with `open_studio`."""

    def __init__(self, examining: Child, rendering: Child) -> None:
        self.examining = examining
        self.rendering = rendering

    async def examine(self, source: Path, kind: str, target: Path) -> Verdict:
        """Look `source`, whose first bytes are of `kind`, through from end to end.

        When its clean form is another (metadata, what hung behind it, an SVG's scripts), it is written to
        `target`. Raises AssetBroken, AssetTooManyPixels, AssetTooManyFrames, AssetTooLarge, SvgRefused,
        AssetTypeRefused (it is not of `kind`), HeicOff, Unavailable; then there is nothing at `target`.
        Cancel-safe: the work is ended and what it had written removed.
        """
        return await self._ask(self.examining, [target, *spares(target)], examine, source, kind, target)

    async def render(self, source: Path, folder: Path) -> list[Rendered]:
        """The smaller forms of a clean image, in `folder`, which must be there and belong to this call.

        First `thumb`, then `web` where it pays; none for what is no raster image. Raises and cancels as
        `examine` does.
        """
        return await self._ask(self.rendering, renditions(folder), render, source, folder)

    @staticmethod
    async def _ask(
        child: Child, made: Sequence[Path], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await child.run(work, *args, **kwargs)
        except Crowded as exc:
            raise Unavailable("Too many files are being examined; try again in a moment.") from exc
        except ChildNotStarted as exc:
            raise Unavailable("The process that examines files does not start; try again later.") from exc
        except Overdue as exc:
            await _clean_up(child, made)
            log.warning("examining took too long", work=work.__name__, deadline_s=DEADLINE_S)
            raise Unavailable("Examining the file took too long; try again later.") from exc
        except ChildEnded as exc:
            await _clean_up(child, made)
            log.warning("a file ended the process that examined it", work=work.__name__)
            raise AssetBroken(
                "The file can't be read within the memory and time that one file may take; make it smaller."
            ) from exc
        except asyncio.CancelledError:
            await _clean_up(child, made)
            raise


async def _clean_up(child: Child, made: Sequence[Path]) -> None:
    def remove_all() -> None:
        # a process that is being killed may still create a file
        child.wait_until_gone(GONE_S)
        remove(made)

    await asyncio.shield(asyncio.to_thread(remove_all))


@asynccontextmanager
async def open_studio(deadline_s: float = DEADLINE_S, idle_s: float = IDLE_S) -> AsyncIterator[Studio]:
    """A studio and its children, which start on first use."""
    async with (
        open_child(
            deadline_s=deadline_s, most_waiting=MOST_WAITING, wait_s=WAIT_S, prepare=confine, idle_s=idle_s
        ) as examining,
        open_child(
            deadline_s=deadline_s,
            most_waiting=JOBS_WAITING,
            wait_s=JOB_WAIT_S,
            prepare=confine,
            idle_s=idle_s,
        ) as rendering,
    ):
        yield Studio(examining, rendering)
