"""Ownership: whose each Yjs client id is in one room.

Owns: the binding of client ids to principals, and which ids of an update are somebody else's. Does not own:
what happens to such an update (writer), storing the bindings (they travel with the journal's entries).
Keeps rules O1-O5. Pure.

Whoever writes under another's client id occupies its clocks: every peer then drops the owner's own edits as
already known. So an id belongs to the first principal that edits under it. Honest people come back with ids
of earlier page loads and bring each other's edits along (a browser that two of them use, a cache of last
week), so a sync step 2 binds an id only until its real author is heard.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from party.errors import ClientIdTaken
from party.ports import Owner

Announcer = Callable[[int], str | None]
"""The user id that is, or was last, present under a client id; None for nobody."""


def nobody(_client: int) -> None:
    """No presence to look at."""


class Ownership:
    """The bound client ids of one room."""

    def __init__(self, owners: Mapping[int, Owner], announcer: Announcer = nobody) -> None:
        self._owners = dict(owners)
        self._announcer = announcer

    def __len__(self) -> int:
        return len(self._owners)

    def owner(self, client: int) -> str | None:
        """Who alone may write under this id; None when it is still free."""
        owner = self._owners.get(client)
        return None if owner is None or owner.is_relayed else owner.user_id

    def is_foreign(
        self,
        client: int,
        user_id: str,
        pending: Mapping[int, Owner] = {},
        aliases: Collection[str] = (),
    ) -> bool:
        """True when the id is somebody else's, and none of those he went by before (`aliases`).

        An id nobody has edited under yet is his who was first present under it: its presence shows it to
        everybody before its first edit (O4). `pending` are the bindings of the batch in hand.
        """
        owner = pending.get(client) or self._owners.get(client)
        if owner is not None and not owner.is_relayed:
            return owner.user_id != user_id and owner.user_id not in aliases
        announcer = self._announcer(client)
        return announcer is not None and announcer != user_id and announcer not in aliases

    def claim(
        self,
        clients: Iterable[int],
        user_id: str,
        pending: Mapping[int, Owner] = {},
        aliases: Collection[str] = (),
    ) -> dict[int, Owner]:
        """The new bindings of a live update that advances `clients` (O1). Raises ClientIdTaken (O2).

        What is bound to an alias stays as it is: the journal takes no second binding (J12).
        """
        claims: dict[int, Owner] = {}
        for client in clients:
            owner = pending.get(client) or self._owners.get(client)
            if owner is not None and not owner.is_relayed:
                if owner.user_id == user_id or owner.user_id in aliases:
                    continue
                raise ClientIdTaken
            if self.is_foreign(client, user_id, pending, aliases):
                raise ClientIdTaken
            claims[client] = Owner(user_id)
        return claims

    def relay(
        self, clients: Iterable[int], user_id: str, pending: Mapping[int, Owner] = {}
    ) -> dict[int, Owner]:
        """The new bindings of a sync step 2 that advances `clients`, none of them foreign (O3)."""
        return {
            client: Owner(user_id, is_relayed=True)
            for client in clients
            if client not in pending and client not in self._owners
        }

    def commit(self, claims: Mapping[int, Owner]) -> None:
        """Take in what the journal now holds."""
        self._owners.update(claims)
