"""What is taken off: the time in which somebody was late, once, as far as it lies in what is timed."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.live.pulse import LATE_S, Pulse
from tests.servers import LiveServer


def test_lateness_counts_once_and_within_what_is_timed() -> None:
    pulse = Pulse()
    pulse._late = [(10.0, 11.0), (1.5, 3.0), (1.0, 2.0), (0.0, 0.5)]
    assert pulse.worked_s(0.25, 5.0) == 4.75 - 2.25
    assert pulse.worked_s(1.0, 3.0) == 0.0
    assert pulse.worked_s(2.5, 10.5) == 7.0
    assert pulse.worked_s(4.0, 9.0) == 5.0


async def test_a_server_that_does_not_answer_yet_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its answer is there, so that nobody has to wait for it; one that is prompt is not."""
    slow_s = 4 * LATE_S

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(slow_s)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    server = LiveServer(tmp_path)
    server.port, server.started_in_s = listening.sockets[0].getsockname()[1], 1.0
    monkeypatch.setattr(LiveServer, "is_running", True)
    async with listening, Pulse(server) as pulse:
        begin = time.monotonic()
        await asyncio.sleep(2 * LATE_S)
        assert pulse.worked_s(begin) <= LATE_S * 1.01
        slow_s = 0.0
