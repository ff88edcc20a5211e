"""The vault of one process: its cipher, opened with the master keys of the settings.

Owns: making the first data key, telling at the start which master key is missing, looking for new keys.
Does not own: changing keys (rotation.py), sealing (cipher.py). Keeps rules Z3, Z8.
"""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from db.cipher import DataKey, list_keys
from db.database import Database
from db.keys import insert_first_key
from db.scopes import as_system
from party.errors import Unavailable
from server.setting_types import read_keys
from server.settings import Settings, SettingsError
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key

log = structlog.get_logger("kanvas.vault")

LOOK_S: Final = 5.0
"""How often a process asks for new keys; who writes with an old one is told at once."""


class Vault:
    """The keys of this process."""

    def __init__(self, database: Database, cipher: VaultCipher) -> None:
        self._database = database
        self.cipher = cipher

    async def refresh(self) -> None:
        """Learn of keys that others made or removed. Raises Unavailable."""
        self.cipher.learn(await as_system(self._database).read(list_keys))

    async def watch(self) -> None:
        """Do so for ever, now and then."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.refresh()
            except Unavailable as error:
                log.warning("keys can't be looked for now", reason=error.message, next_s=LOOK_S)


async def open_vault(settings: Settings, database: Database) -> Vault | None:
    """The vault, with a first key if there was none; None without master keys, when nothing needs them.

    Raises SettingsError, Unavailable.
    """
    system = as_system(database)
    keys = await system.read(list_keys)
    if settings.encryption_keys is None:
        if keys:
            raise SettingsError([told_missing(keys)])
        return None
    masters = read_keys(settings.encryption_keys.get_secret_value())
    if not keys:
        keys = await system.write(partial(insert_first_key, key=make_key(masters, datetime.now(UTC))))
    cipher = VaultCipher(masters, keys)
    if cipher.failures:
        raise SettingsError(list(dict.fromkeys(cipher.failures.values())))
    return Vault(database, cipher)


def told_missing(keys: list[DataKey]) -> str:
    """What is wrong with no master keys at all, in words."""
    names = ", ".join(dict.fromkeys(key.master_id for key in keys))
    return (
        "KANVAS_ENCRYPTION_KEYS must be set: documents and files of this installation are encrypted, and "
        f"only its master keys ({names}) open them. To do without them: "
        "`kanvas keys rotate --to plain` and `kanvas keys retire`, with the keys."
    )
