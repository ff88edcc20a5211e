"""The generated secret: private, complete, and one for all."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from server.check import Result, try_all
from server.secret import load_secret
from server.settings import Settings, SettingsError


def test_it_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    first = load_secret(settings)
    path = tmp_path / "data" / "secret"
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_secret(settings) == first
    assert [one.name for one in path.parent.iterdir()] == ["secret"]


def test_many_at_once_get_the_same(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: load_secret(settings), range(64)))
    assert len(found) == 1


def test_a_given_one_counts_and_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "secret": "x" * 32})
    assert load_secret(settings) == b"x" * 32
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 64])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SettingsError, match="secret"):
        load_secret(Settings(data_dir=tmp_path))


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(SettingsError, match="KANVAS_DATA_DIR"):
        load_secret(Settings(data_dir=tmp_path / "data"))


async def test_a_secret_of_one_machine_is_a_warning_where_there_may_be_several(tmp_path: Path) -> None:
    """`kanvas check` says it in words, and passes: one process alone is fine with it."""

    async def look(**settings: Any) -> Result:
        made = Settings(data_dir=tmp_path, **settings)
        return next(one for one in await try_all(made) if one.part == "secret")

    nowhere = {"redis_url": SecretStr("redis://127.0.0.1:1")}
    told = await look(**nowhere)
    assert (told.passed, told.is_warning) == (True, True)
    assert "KANVAS_REDIS_URL" in told.told
    assert "set the same KANVAS_SECRET on each" in told.told
    assert not (await look()).is_warning
    assert not (await look(**nowhere, secret=SecretStr("0123456789abcdef0123456789abcdef"))).is_warning
