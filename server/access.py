"""Who may do what, on open sockets. Stands in for the module of the same name; to be dropped."""


class Access:
    """Nothing is told to sockets."""

    async def changed(self, room_id: str) -> None:
        """Roles changed in this room."""
