"""Mails that stay on this machine: the embedded default, for who tries Kanvas out.

Owns: the folder `mailbox` below the data folder, a file for each mail. Does not own: who may read them
(server/accounts/routes.py). Keeps rule T7.

Files, and not memory or a table: several processes on this machine share them, they outlive a restart, and
nothing of it is in the database of who sends real mails. A mail sent again replaces itself.
"""

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from server.mail.base import Mail, MailDown

MOST_KEPT: Final = 100
NAME: Final = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True, slots=True)
class KeptMail:
    """A mail in the mailbox. `sent_at` is aware, in UTC."""

    id: str
    sent_at: datetime
    mail: Mail


class MailboxMailer:
    """The Mailer that keeps the newest 100 mails in `folder`."""

    def __init__(self, folder: Path, sender: str, now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._sender = sender
        self._now = now

    async def send(self, mail: Mail, key: str) -> None:
        from server.mail.message import compose  # noqa: PLC0415 - 20 ms, and most processes never send any

        # what no mail server would take is not taken here either
        composed = compose(mail, sender=self._sender, key=key, now=self._now())
        kept = {
            "sent_at": self._now().isoformat(),
            "to": str(composed["To"]),
            "subject": str(composed["Subject"]),
            "text": mail.text,
            "html": mail.html,
        }
        name = hashlib.sha256(key.encode()).hexdigest()[:32]
        try:
            await asyncio.to_thread(self._keep, name, orjson.dumps(kept))
        except OSError as error:
            raise MailDown(f"{self._folder} can't be written to: {error.strerror}.") from error

    async def check(self) -> str:
        return f"none: mails stay in {self._folder}, and are shown at /mailbox"

    async def list_mails(self) -> list[KeptMail]:
        """All there are, the newest first. Raises MailDown."""
        try:
            return await asyncio.to_thread(self._read)
        except OSError as error:
            raise MailDown(f"{self._folder} can't be read: {error.strerror}.") from error

    def _keep(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._folder / f"{name}.{uuid4().hex}.part"
        try:
            unfinished.touch(mode=0o600, exist_ok=False)
            unfinished.write_bytes(content)
            # the file system's own clock tells nothing apart within a few milliseconds
            now_ns = time.time_ns()
            os.utime(unfinished, ns=(now_ns, now_ns))
            unfinished.replace(self._folder / f"{name}.json")
        finally:
            unfinished.unlink(missing_ok=True)
        for old in self._names()[MOST_KEPT:]:
            old.unlink(missing_ok=True)

    def _names(self) -> list[Path]:
        """The newest first."""
        found: list[tuple[int, str, Path]] = []
        if not self._folder.is_dir():
            return []
        for path in self._folder.iterdir():
            # another process may have removed it meanwhile
            with suppress(FileNotFoundError):
                if NAME.fullmatch(path.name):
                    found.append((path.stat().st_mtime_ns, path.name, path))
        return [path for _, _, path in sorted(found, reverse=True)]

    def _read(self) -> list[KeptMail]:
        found = []
        for path in self._names()[:MOST_KEPT]:
            with suppress(FileNotFoundError):
                kept = orjson.loads(path.read_bytes())
                mail = Mail(kept["to"], kept["subject"], kept["text"], kept["html"])
                found.append(KeptMail(path.stem, datetime.fromisoformat(kept["sent_at"]), mail))
        return sorted(found, key=lambda one: one.sent_at, reverse=True)
