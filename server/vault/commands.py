"""`kanvas keys list | rotate | retire`, beside a server that serves.

Owns: what they decide, do and say. Does not own: options and exit codes (`cli.py`), the walk (rotation.py),
the count (survey.py). Keeps rules Z6-Z8.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from sqlalchemy import Connection

from db.audit import OPERATOR, Event, append
from db.cipher import DataKey, list_keys, newest
from db.database import Database
from db.keys import await_writers, change_key, delete_key
from db.scopes import as_system
from server.blobs.open import open_blobs
from server.blobs.sealed import SealedBlobs
from server.direct import open_direct
from server.secret import load_secret
from server.setting_types import read_keys
from server.settings import Settings, SettingsError
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key
from server.vault.opening import Vault
from server.vault.rotation import Rotation, patiently
from server.vault.survey import Survey, count_all

Say = Callable[[str], None]

NO_MASTERS: Final = (
    "KANVAS_ENCRYPTION_KEYS must be set, to the master keys of the server; "
    "make one with: openssl rand -base64 32"
)


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command works with."""

    database: Database
    blobs: SealedBlobs
    cipher: VaultCipher
    masters: Mapping[str, bytes]

    async def keys(self) -> list[DataKey]:
        """All data keys, also learned."""
        found = await as_system(self.database).read(list_keys)
        self.cipher.learn(found)
        return found

    async def count(self, keys: list[DataKey]) -> Survey:
        return await count_all(self.database, self.blobs, [*(key.id for key in keys), None])


@asynccontextmanager
async def _open_desk(settings: Settings) -> AsyncIterator[Desk]:
    given = settings.encryption_keys
    masters = {} if given is None else read_keys(given.get_secret_value())
    secret = load_secret(settings)
    async with open_direct(settings) as database, open_blobs(settings, secret) as stored:
        cipher = VaultCipher(masters)
        vault = Vault(database, cipher)
        desk = Desk(database, SealedBlobs(stored, vault, secret), cipher, masters)
        await desk.keys()
        yield desk


async def list_all(settings: Settings, say: Say) -> None:
    """Every data key and what is under it, then the master keys. Raises Unavailable."""
    async with _open_desk(settings) as desk:
        keys = await desk.keys()
        survey = await desk.count(keys)
        in_use = newest(keys)
        say("Data keys:" if keys else "There are no data keys.")
        for key in keys:
            state = f"retired {_moment(key.retired_at)}" if key.retired_at else "in use"
            lost = "; its master key is missing" if key.id in desk.cipher.failures else ""
            say(
                f"  {key.id}  master key {key.master_id}  made {_moment(key.created_at)}  {state}{lost}: "
                f"{survey.told(key.id)}"
            )
        say(f"Not encrypted: {survey.told(None)}")
        _say_masters(desk, keys, say)
        if in_use is None:
            say("New documents and files are not encrypted.")


def _say_masters(desk: Desk, keys: list[DataKey], say: Say) -> None:
    needed = {key.master_id for key in keys}
    first = next(iter(desk.masters), None)
    for master_id in desk.masters:
        if master_id == first:
            say(f"Master key {master_id} wraps new data keys.")
        elif master_id in needed:
            say(f"Master key {master_id} is needed.")
        else:
            say(f"Master key {master_id} is not needed any more; take it out of KANVAS_ENCRYPTION_KEYS.")
    for master_id in sorted(needed - set(desk.masters)):
        say(f"Master key {master_id} is needed, and is not in KANVAS_ENCRYPTION_KEYS.")


async def rotate(settings: Settings, say: Say, to: Literal["new", "plain"] | None = None) -> bool:
    """Bring everything under the data key in use, or a new one when that is so already or `to` asks for it.

    False when some could not be. Raises SettingsError, Unavailable.
    """
    async with _open_desk(settings) as desk:
        if not desk.masters:
            raise SettingsError([NO_MASTERS])
        keys = await desk.keys()
        if desk.cipher.failures:
            raise SettingsError(list(dict.fromkeys(desk.cipher.failures.values())))
        target, survey = newest(keys), await desk.count(keys)
        if to == "plain":
            keys = keys if target is None else await _change(desk, None)
        elif to == "new" or target is None or not _is_under_way(desk, target, survey):
            keys = await _change(desk, make_key(desk.masters, datetime.now(UTC)))
        else:
            say(f"Going on with data key {target.id}, which is not everywhere yet; --to new makes another.")
        # from here on nobody writes with what is retired
        await patiently(lambda: as_system(desk.database).write(await_writers))
        target = newest(keys)
        key_id = None if target is None else target.id
        left = survey.elsewhere(key_id)
        say(f"{left:,} rows, checkpoints and files to {f'encrypt with {key_id}' if key_id else 'decrypt'}.")
        rotation = Rotation(desk.database, desk.blobs, desk.cipher, key_id, say)
        done = await rotation.run(left)
        for what, why in rotation.failures.items():
            say(f"Not changed: {what}. {why}")
        if rotation.failures:
            say(f"{done:,} done, {len(rotation.failures):,} could not be.")
            return False
        say(f"All is done: {done:,} changed. `kanvas keys retire` removes keys that nothing needs any more.")
        if to == "plain":
            say("Then take KANVAS_ENCRYPTION_KEYS out of the settings of every process, and restart them.")
        return True


def _is_under_way(desk: Desk, target: DataKey, survey: Survey) -> bool:
    """Whether there is something to go on with: the key is not everywhere yet, and no older master's."""
    return survey.elsewhere(target.id) > 0 and target.master_id == next(iter(desk.masters))


async def _change(desk: Desk, key: DataKey | None) -> list[DataKey]:
    now = datetime.now(UTC)

    def change(connection: Connection) -> list[DataKey]:
        _record(connection, "keys.rotate", "plain" if key is None else key.id, now)
        return change_key(connection, key, now)

    keys = await as_system(desk.database).write(change)
    desk.cipher.learn(keys)
    return keys


async def retire(settings: Settings, say: Say) -> bool:
    """Remove the data keys that are retired and have nothing under them; False when some have to stay.

    Needs no master keys. Raises Unavailable.
    """
    async with _open_desk(settings) as desk:
        keys = await desk.keys()
        retired = [key for key in keys if key.retired_at is not None]
        if not retired:
            say("No data key is retired; `kanvas keys rotate` makes a new one.")
            _say_masters(desk, keys, say)
            return True
        # before the count: afterwards nothing can come under them any more
        await patiently(lambda: as_system(desk.database).write(await_writers))
        survey = await desk.count(keys)
        stay = 0
        for key in retired:
            if survey.total(key.id):
                stay += 1
                say(f"Data key {key.id} stays, for {survey.told(key.id)} need it: type kanvas keys rotate")
                continue
            await as_system(desk.database).write(partial(_forget, key_id=key.id))
            say(f"Data key {key.id} is removed.")
        _say_masters(desk, await desk.keys(), say)
        return not stay


def _forget(connection: Connection, key_id: str) -> None:
    if delete_key(connection, key_id):
        _record(connection, "keys.retire", key_id, datetime.now(UTC))


def _record(connection: Connection, action: str, target: str, now: datetime) -> None:
    details = json.dumps({"by": "command line"})
    append(connection, Event(now, *OPERATOR, action, target=target, details=details))


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}Z"
