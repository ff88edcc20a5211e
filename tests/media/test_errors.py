"""The errors that files are refused with: stable codes, and words that say what to do."""

import sys
from pathlib import Path

import pytest

from party.errors import KanvasError
from server import problems
from tests.media import corpus
from tests.media.table import Table

ERRORS: dict[type[KanvasError], tuple[str, int]] = {
    problems.AssetBroken: ("asset_broken", 422),
    problems.AssetTooManyPixels: ("asset_too_many_pixels", 422),
    problems.AssetTooManyFrames: ("asset_too_many_frames", 422),
    problems.SvgRefused: ("svg_refused", 422),
    problems.AssetTooLarge: ("asset_too_large", 413),
    problems.AssetTypeRefused: ("asset_type_refused", 415),
    problems.HeicOff: ("heic_off", 415),
}


@pytest.mark.parametrize("error", ERRORS)
def test_codes_and_statuses(error: type[KanvasError]) -> None:
    made = error()
    assert (made.code, made.status) == ERRORS[error]
    assert not made.retry
    body = problems.problem_body(made, "r")
    assert body["type"] == f"urn:kanvas:problem:{made.code}"
    assert body["detail"].rstrip(".") != ""
    assert type(made)("other words").message == "other words"


def test_heic_without_its_extra_names_the_extra(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    error = table.refuse(corpus.HEIC_WITH_EXIF)
    assert (error.code, error.status) == ("heic_off", 415)
    assert "kanvas[heic]" in error.message


def test_the_extra_is_the_one_of_the_package() -> None:
    root = Path(__file__).resolve().parents[2]
    assert 'heic = ["pi-heif' in (root / "pyproject.toml").read_text(encoding="utf-8")
