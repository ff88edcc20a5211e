"""The settings: every `KANVAS_*` variable, by what it is about, and how they are read together."""

from server.settings.reading import (
    PREFIX,
    SECRETS,
    Row,
    Settings,
    SettingsError,
    effective_rows,
    read_settings,
    settings_table,
)

__all__ = [
    "PREFIX",
    "SECRETS",
    "Row",
    "Settings",
    "SettingsError",
    "effective_rows",
    "read_settings",
    "settings_table",
]
