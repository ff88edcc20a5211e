"""The load benchmark runs: a short one against a real server, and its words when it can't."""

import json
from pathlib import Path

import pytest

from tests.load.__main__ import main
from tests.load.catalogue import SCENARIOS


def test_a_short_load_on_our_server_delivers_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "load.json"
    # as many edits as go at once: a machine that stands still for seconds leaves none of them out
    choice = ["--scenario", "own", "--clients", "8", "--writers", "3", "--rate", "20", "--seconds", "1"]
    assert main([*choice, "--relay", "--json", str(result)]) == 0
    (row,) = json.loads(result.read_text())["rows"]
    assert row["notes"] == [] or all("did not come" not in note for note in row["notes"])
    assert row["delivered"] == row["expected"] == 3 * 20 * 7
    assert row["p50_ms"] > 0
    shown = capsys.readouterr().out
    assert "8 clients, 3 write 20/s" in shown
    assert "kanvas" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenario", "nothing"], "There is no scenario nothing"),
        (["--url", "http://127.0.0.1/room"], "is no WebSocket address"),
        (["--setting", "KANVAS"], "should look like NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert told in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "ws://127.0.0.1:1/one"], "A client could not get in"),
        (["--url", "ws://127.0.0.1:1/parties/{room}"], "got no answer"),
        (["--setting", "KANVAS_NONSENSE=1"], "KANVAS_NONSENSE"),
    ],
)
def test_a_scenario_that_fails_is_a_remark_and_the_exit_code(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--scenario", "own", "--clients", "2", "--writers", "1"]) == 1
    said = capsys.readouterr()
    assert told in said.out
    assert "Traceback" not in said.out + said.err


def test_every_scenario_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in SCENARIOS)
