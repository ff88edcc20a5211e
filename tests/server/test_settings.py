"""Settings: what is taken, what is refused, and in which words."""

import re
from pathlib import Path

import pytest

from server.masks import MASK
from server.setting_types import normal_origin
from server.settings import (
    Settings,
    SettingsError,
    effective_rows,
    read_settings,
    settings_table,
)

SECRET = "0123456789abcdef0123456789abcdef"


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(environ)
    return refused.value.problems


def test_nothing_set_is_fine() -> None:
    settings = read_settings({"PATH": "/bin"})
    assert (settings.host, settings.port, settings.guests, settings.origins) == ("127.0.0.1", 8000, True, ())
    assert settings.data_dir == Path.cwd() / ".data"
    assert settings.effective_database_url == f"sqlite:///{Path.cwd() / '.data' / 'kanvas.db'}"
    assert settings.is_loopback


def test_everything_can_be_set(tmp_path: Path) -> None:
    settings = read_settings(
        {
            "KANVAS_HOST": "[::1]",
            "KANVAS_PORT": " 9000 ",
            "KANVAS_DATA_DIR": str(tmp_path),
            "KANVAS_DATABASE_URL": f"sqlite:///{tmp_path}/other.db",
            "KANVAS_GUESTS": "OFF",
            "KANVAS_ORIGINS": "https://App.Example.org:443/, http://localhost:5173,*",
            "KANVAS_PUBLIC_URL": "https://kanvas.example.org",
            "KANVAS_SECRET": SECRET,
            "KANVAS_TOKEN_TTL_S": "60",
            "KANVAS_MAX_ASSET_BYTES": "2048",
            "KANVAS_IMPORT_NETWORKS": "10.0.0.0/8, fd12:3456::/32,192.0.2.7",
            "KANVAS_LOG_LEVEL": "Debug",
            "KANVAS_LOG_FORMAT": "json",
        }
    )
    assert settings.host == "::1"
    assert settings.port == 9000
    assert settings.guests is False
    assert settings.origins == ("https://app.example.org", "http://localhost:5173", "*")
    assert settings.effective_database_url == f"sqlite:///{tmp_path}/other.db"
    assert (settings.token_ttl_s, settings.max_asset_bytes) == (60, 2048)
    assert (
        dict(effective_rows(settings))["KANVAS_IMPORT_NETWORKS"] == "10.0.0.0/8,fd12:3456::/32,192.0.2.7/32"
    )
    assert (settings.log_level, settings.log_format) == ("debug", "json")


def test_an_empty_value_is_the_default() -> None:
    settings = read_settings({"KANVAS_PORT": "", "KANVAS_ORIGINS": " ", "KANVAS_SECRET": ""})
    assert (settings.port, settings.origins, settings.secret) == (8000, (), None)


def test_all_problems_come_at_once_with_name_value_and_what_is_taken() -> None:
    found = problems(
        {
            "KANVAS_PORT": "eighty",
            "KANVAS_GUESTS": "yes",
            "KANVAS_ORIGINS": "app.example.org",
            "KANVAS_SECRET": "hunter2",
            "KANVAS_DATABASE_URL": "mysql://kanvas:hunter2@db/kanvas",
            "KANVAS_LOG_LEVEL": "loud",
            "KANVAS_ORIGIN": "x",
        }
    )
    assert len(found) == 7
    assert "KANVAS_ORIGIN is not a setting; did you mean KANVAS_ORIGINS?" in found
    assert "KANVAS_PORT=eighty is not valid; it takes a whole number from 0 to 65535." in found
    assert "KANVAS_GUESTS=yes is not valid; it takes on or off." in found
    assert not any("hunter2" in problem for problem in found)
    assert any(problem.startswith(f"KANVAS_SECRET={MASK} ") for problem in found)


@pytest.mark.parametrize("name", ["KANVAS_DATADIR", "KANVAS_TOKEN", "KANVAS_", "KANVAS_port"])
def test_an_unknown_variable_is_named(name: str) -> None:
    if name == "KANVAS_port":  # a name in another case is another name, and near enough to be meant
        assert read_settings({name: "9000"}).port == 9000
        return
    assert problems({name: "1"})[0].startswith(f"{name} is not a setting")


def test_what_kubernetes_injects_is_ignored() -> None:
    settings = read_settings(
        {
            "KANVAS_PORT": "tcp://10.0.0.7:8000",
            "KANVAS_SERVICE_HOST": "10.0.0.7",
            "KANVAS_SERVICE_PORT": "8000",
            "KANVAS_SERVICE_PORT_HTTP": "8000",
            "KANVAS_PORT_8000_TCP": "tcp://10.0.0.7:8000",
            "KANVAS_PORT_8000_TCP_PROTO": "tcp",
            "KANVAS_PORT_8000_TCP_ADDR": "10.0.0.7",
        }
    )
    assert settings.port == 8000


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "kanvas.example.org", "192.168.1.7"])
def test_other_hosts_are_not_loopback(host: str) -> None:
    assert not read_settings({"KANVAS_HOST": host}).is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.3.2.1", "::1"])
def test_loopback_is_known(host: str) -> None:
    assert read_settings({"KANVAS_HOST": host}).is_loopback


@pytest.mark.parametrize("host", ["999.1.1.1", "a b", "-x", "http://x", "x" * 300])
def test_what_is_no_address_is_refused(host: str) -> None:
    assert "an IP address or a host name" in problems({"KANVAS_HOST": host})[0]


@pytest.mark.parametrize(
    "origin",
    ["ftp://x", "https://", "https://x/path", "https://a:b@x", "x", "https://x:99999", "https://x?q"],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        normal_origin(origin)


@pytest.mark.parametrize(
    "networks", ["10.0.0.1/8", "10.0.0.0/33", "inside.example", "10.0.0.0-10.0.0.9", "fd00::/8;"]
)
def test_what_is_no_network_is_refused(networks: str) -> None:
    assert "networks separated by commas" in problems({"KANVAS_IMPORT_NETWORKS": networks})[0]


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://traces.example.org/", "https://traces.example.org/v1/traces"),
        ("https://traces.example.org/otlp", "https://traces.example.org/otlp"),
    ],
)
def test_a_collector_without_a_path_takes_traces_where_collectors_do(given: str, taken: str) -> None:
    """M10: as OpenTelemetry's own endpoint is told; at / there is nothing but 404."""
    assert read_settings({"KANVAS_OTLP_URL": given}).otlp_url == taken


def test_the_table_has_a_row_for_each_and_marks_the_secret() -> None:
    rows = settings_table()
    assert [row.name for row in rows] == [f"KANVAS_{name.upper()}" for name in Settings.model_fields]
    assert [row.name for row in rows if row.secret] == [
        "KANVAS_ENCRYPTION_KEYS",
        "KANVAS_SECRET",
        "KANVAS_OIDC_CLIENT_SECRET",
        "KANVAS_SMTP_URL",
        "KANVAS_METRICS_TOKEN",
        "KANVAS_SENTRY_DSN",
    ]
    assert all(row.help.endswith(".") and row.type for row in rows)
    # the defaults that are shown are the defaults that are
    settings = read_settings({})
    shown = {row.name: row.default for row in rows}
    for name in ("HOST", "PORT", "TOKEN_TTL_S", "MAX_ASSET_BYTES", "LOG_LEVEL", "LOG_FORMAT"):
        assert shown[f"KANVAS_{name}"] == str(getattr(settings, name.lower()))


def test_effective_values_mask_the_secret() -> None:
    rows = dict(effective_rows(read_settings({"KANVAS_SECRET": SECRET})))
    assert rows["KANVAS_SECRET"] == MASK
    assert rows["KANVAS_GUESTS"] == "on"
    assert SECRET not in repr(read_settings({"KANVAS_SECRET": SECRET}))


def test_the_object_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings({}).port = 1


def test_units_are_in_the_names_of_numbers() -> None:
    numbers = [row.name for row in settings_table() if row.type == "integer"]
    units = r"(_S|_BYTES|_PORT|_CONNECTIONS|_AT_ONCE|_POOL|_COMMITTERS|_WORKERS|_DAYS)$"
    assert all(re.search(units, name) for name in numbers)
