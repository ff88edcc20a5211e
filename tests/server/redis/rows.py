"""A row of the database, as the cache is given it."""

from datetime import UTC, datetime

from db.assets import Asset, Rendition


def an_asset() -> Asset:
    return Asset(
        id="01kf3w9d2rj4x0v7c8m5qh6t1b",
        room_id="first-sketch",
        user_id="ada",
        sha256="0" * 64,
        stored_sha256="1" * 64,
        size_bytes=12,
        content_type="image/png",
        filename="Kätzchen.png",
        key="assets/1/2",
        width=3,
        height=4,
        frames=1,
        color=None,
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        renditions=(Rendition("thumb", "assets/1/2-thumb", "image/webp", 1, 2, 3),),
    )
