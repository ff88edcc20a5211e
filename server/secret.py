"""The secret that signs tokens: the one given, else one generated into the data folder.

Owns: making `{data_dir}` and `{data_dir}/secret`. Does not own: what is signed (`auth.py`).
Rules: the file is complete, durable and readable only by its owner before it has its name; of two processes
that start at once the first one's secret wins, and both use it.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from server.settings import Settings, SettingsError

FILE_NAME = "secret"
SECRET_BYTES = 32


def ensure_data_dir(settings: Settings) -> Path:
    """The data folder, made with mode 0700 when it is missing. Raises SettingsError."""
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            [f"KANVAS_DATA_DIR={folder} can't be used as a folder: {error.strerror}."]
        ) from error
    return folder


def load_secret(settings: Settings) -> bytes:
    """The signing key, at least 32 bytes. Raises SettingsError when it can be neither read nor made."""
    if settings.secret is not None:
        return settings.secret.get_secret_value().encode()
    path = ensure_data_dir(settings) / FILE_NAME
    try:
        if not path.exists():
            _generate(path)
        secret = path.read_text(encoding="ascii").strip().encode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no ASCII text"
        raise SettingsError([f"The secret in {path} can't be used: {reason}."]) from error
    if len(secret) < SECRET_BYTES:
        raise SettingsError([f"The secret in {path} is too short; delete the file to get a new one."])
    return secret


def _generate(path: Path) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE_NAME}-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # a link, not a rename: it fails when another process was faster, and its secret is kept
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(name)
        fsync_folder(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
