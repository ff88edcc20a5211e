"""The JSON of assets: what is asked for and what is answered.

Owns: models. Does not own: routes.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from db.assets import Asset
from server.assets.names import Filename
from server.media.kinds import EXTENSIONS
from server.problems import AssetNotFound, UploadNotFound
from server.registry import Body, Out, Path
from server.rooms import RoomId
from server.text import WHOLE

SHA256_PATTERN: Final = "^[0-9a-f]{64}$"
ULID_PATTERN: Final = "^[0-7][0-9a-hjkmnp-tv-z]{25}$"
SIZE_MOST: Final = 5 * 1024**4


Sha256 = Annotated[
    str,
    Field(pattern=SHA256_PATTERN, description="SHA-256 of the bytes, lower-case hex", examples=["0" * 64]),
]
AssetId = Annotated[str, Field(pattern=ULID_PATTERN, examples=["01kf3w9d2rj4x0v7c8m5qh6t1b"])]
RenditionName = Literal["thumb", "web"]

ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/heif": "image/heic",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-ms-bmp": "image/bmp",
}
"""Names that browsers and systems use for the types we know."""


def _known_type(value: str) -> str:
    bare = value.partition(";")[0].strip().lower()
    kind = ALIASES.get(bare, bare)
    if kind not in EXTENSIONS:
        raise PydanticCustomError(
            "content_type", "Kanvas takes {kinds}.", {"kinds": ", ".join(sorted(EXTENSIONS))}
        )
    return kind


class NewAsset(Body):
    """A file to upload: announced before it is sent."""

    filename: Filename
    content_type: Annotated[str, AfterValidator(_known_type)] = Field(
        max_length=128, description="Its type; the bytes must say the same", examples=["image/jpeg"]
    )
    size: Annotated[int, WHOLE] = Field(
        ge=1, le=SIZE_MOST, description="Its length in bytes, exactly", examples=[120_000]
    )
    sha256: Sha256


class WantedParts(Body):
    """Parts to send next."""

    numbers: list[Annotated[int, Field(ge=1, le=10_000), WHOLE]] = Field(
        min_length=1, max_length=100, description="From 1; each part is asked for when it is to be sent"
    )


class ImportedAsset(Body):
    """A file to fetch from an address."""

    url: str = Field(min_length=8, max_length=2048, examples=["https://example.org/map.png"])
    filename: Filename | None = None


class RoomAssetPath(Path):
    """Which asset, or unfinished upload, of which room."""

    missing = UploadNotFound
    room_id: RoomId
    asset_id: AssetId


class RoomBytesPath(Path):
    """Which file of which room: by the asset's id, or the SHA-256 of its bytes as documents do."""

    missing = AssetNotFound
    room_id: RoomId
    asset_id: Annotated[str, Field(pattern=f"{SHA256_PATTERN}|{ULID_PATTERN}")]


class HashPath(Path):
    """The bytes that are sent."""

    missing = AssetNotFound
    room_id: RoomId
    asset_id: Sha256


class AssetPath(Path):
    """Which asset."""

    missing = AssetNotFound
    asset_id: AssetId


class RequestOut(Out):
    """A request to make, exactly as it stands here; the address may be relative to the server's."""

    method: Literal["GET", "PUT"]
    url: str
    headers: dict[str, str]


class PartsOut(Out):
    """How the file is cut: every part has `part_bytes`, the last one the rest."""

    part_bytes: int
    count: int


class UploadOut(Out):
    """Where the bytes go: by `request` in one piece, or in `parts`; without both they have arrived."""

    id: str
    expires_at: datetime
    request: RequestOut | None
    parts: PartsOut | None


class RenditionOut(Out):
    """A smaller form of an image."""

    name: RenditionName
    url: str
    content_type: str
    width: int
    height: int
    size_bytes: int


class AssetOut(Out):
    """A file of a room, checked and stored."""

    id: str
    room_id: str
    sha256: str = Field(description="Of the bytes as they were uploaded; documents know it by this")
    filename: str
    content_type: str
    size_bytes: int = Field(description="As it is stored: what tells where a photo was taken is gone")
    width: int | None
    height: int | None
    frames: int
    color: str | None = Field(description="Its average color, for a placeholder", examples=["#8899aa"])
    user_id: str
    created_at: datetime
    url: str
    renditions: list[RenditionOut] = Field(description="Smaller forms; they come a moment after the image")


class AnnouncedOut(Out):
    """The asset, when the room has these bytes; else where to send them."""

    asset: AssetOut | None
    upload: UploadOut | None


class SignedPartOut(Out):
    """A part and how to send it."""

    number: int
    size_bytes: int
    request: RequestOut


class SignedPartsOut(Out):
    """The parts that were asked for."""

    parts: list[SignedPartOut]


class StoredPartOut(Out):
    """A part that has arrived."""

    number: int
    size_bytes: int


class StoredPartsOut(PartsOut):
    """What has arrived of an upload in parts."""

    stored: list[StoredPartOut]


class AssetList(Out):
    """A page of assets, newest first."""

    items: list[AssetOut]
    next_cursor: str | None


def asset_out(asset: Asset) -> AssetOut:
    """The asset as everybody sees it; not the place of its bytes."""
    url = f"/api/v1/assets/{asset.id}"
    return AssetOut(
        id=asset.id,
        room_id=asset.room_id,
        sha256=asset.sha256,
        filename=asset.filename,
        content_type=asset.content_type,
        size_bytes=asset.size_bytes,
        width=asset.width,
        height=asset.height,
        frames=asset.frames,
        color=asset.color,
        user_id=asset.user_id,
        created_at=asset.created_at,
        url=url,
        renditions=[
            RenditionOut(
                name=one.name,
                url=f"{url}?rendition={one.name}",
                content_type=one.content_type,
                width=one.width,
                height=one.height,
                size_bytes=one.size_bytes,
            )
            for one in asset.renditions
        ],
    )
