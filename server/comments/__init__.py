"""Comments: threads pinned to a room's canvas, over HTTP, and told live to who is in the room."""
