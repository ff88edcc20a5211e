"""`kanvas keys` and `kanvas check` as a person types them: words and exit codes."""

import base64
from pathlib import Path

import pytest

from server.settings import SettingsError, read_settings
from tests.server.edge import copy_database
from tests.server.test_cli import Kanvas, kanvas  # noqa: F401 - a fixture

KEYS = {"KANVAS_ENCRYPTION_KEYS": f"one:{base64.b64encode(b'1' * 32).decode()}"}
OTHER = {"KANVAS_ENCRYPTION_KEYS": f"one:{base64.b64encode(b'2' * 32).decode()}"}


@pytest.fixture
def folder(tmp_path: Path, empty_database: Path) -> Path:
    copy_database(tmp_path, empty_database)
    return tmp_path


def test_the_life_of_a_key(kanvas: Kanvas, folder: Path) -> None:  # noqa: F811
    """Z6 Z7."""
    assert "There are no data keys." in kanvas("keys", "list", data_dir=folder).stdout
    refused = kanvas("keys", "rotate", data_dir=folder)
    assert refused.returncode == 2
    assert "KANVAS_ENCRYPTION_KEYS must be set" in refused.stderr
    made = kanvas("keys", "rotate", data_dir=folder, **KEYS)
    assert (made.returncode, made.stderr) == (0, "")
    told = kanvas("keys", "list", data_dir=folder, **KEYS).stdout
    assert "in use: 0 rows, 0 checkpoints, 0 files" in told
    assert "Master key one wraps new data keys." in told
    assert base64.b64encode(b"1" * 32).decode() not in told
    again = kanvas("keys", "rotate", "--to", "new", data_dir=folder, **KEYS)
    assert again.returncode == 0
    gone = kanvas("keys", "retire", data_dir=folder)
    assert (gone.returncode, gone.stdout.count("is removed")) == (0, 1)
    plain = kanvas("keys", "rotate", "--to", "plain", data_dir=folder, **KEYS)
    assert "take KANVAS_ENCRYPTION_KEYS out of the settings" in plain.stdout


def test_a_wrong_master_key_is_told_by_every_command(kanvas: Kanvas, folder: Path) -> None:  # noqa: F811
    """Z8."""
    kanvas("keys", "rotate", data_dir=folder, **KEYS)
    told = kanvas("keys", "rotate", data_dir=folder, **OTHER)
    assert told.returncode == 2
    assert "The master key one in KANVAS_ENCRYPTION_KEYS is another than the one" in told.stderr
    checked = kanvas("check", data_dir=folder, **OTHER)
    assert checked.returncode == 1
    assert "The master key one" in checked.stdout
    assert "is in use, 0 older ones open" in kanvas("check", data_dir=folder, **KEYS).stdout


def test_without_tables_there_is_nothing_to_do(kanvas: Kanvas, tmp_path: Path) -> None:  # noqa: F811
    for command in ("list", "rotate", "retire"):
        ended = kanvas("keys", command, data_dir=tmp_path, **KEYS)
        assert ended.returncode == 1
        assert "type: kanvas migrate" in ended.stderr


def test_nobody_is_sent_to_storage_for_what_is_encrypted() -> None:
    """Z5: settings that contradict each other are told."""
    with pytest.raises(SettingsError, match="KANVAS_ASSET_DELIVERY=redirect does not go with"):
        read_settings({**KEYS, "KANVAS_ASSET_DELIVERY": "redirect"})
    read_settings({**KEYS, "KANVAS_ASSET_DELIVERY": "stream"})
    with pytest.raises(SettingsError) as refused:
        read_settings({"KANVAS_ENCRYPTION_KEYS": "one:c2VjcmV0"})
    assert "c2VjcmV0" not in str(refused.value)
