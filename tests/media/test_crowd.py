"""server.media.studio: how many may wait, and for what."""

import asyncio
from pathlib import Path

from server.media.studio import open_studio
from server.settings import Settings
from tests.media import corpus


async def test_no_job_is_sent_away_from_rendering(tmp_path: Path) -> None:
    """Each time would be a failed attempt, and with the fifth the image has no smaller forms for ever."""
    most = next(one.le for one in Settings.model_fields["jobs_at_once"].metadata if hasattr(one, "le"))
    source = tmp_path / "source"
    source.write_bytes(corpus.encode(corpus.scene(), "PNG"))
    folders = [tmp_path / str(number) for number in range(most)]
    for folder in folders:
        folder.mkdir()
    async with open_studio() as studio:
        made = await asyncio.gather(*(studio.render(source, folder) for folder in folders))
    assert [one.name for forms in made for one in forms] == ["thumb"] * most
