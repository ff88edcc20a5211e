"""A table to examine files on, in the test's own process."""

from pathlib import Path

import pytest

from party.errors import KanvasError
from server.media.base import Rendered, Verdict
from server.media.examination import examine, render
from server.media.kinds import sniff_kind
from server.media.pictures import prepare


class Table:
    """A folder with one file that is examined."""

    def __init__(self, folder: Path) -> None:
        prepare()
        self.folder = folder
        self.source = folder / "source"
        self.target = folder / "target"

    def examine(self, data: bytes, kind: str | None = None) -> tuple[Verdict, bytes]:
        """The verdict, and the clean form."""
        self.source.write_bytes(data)
        self.target.unlink(missing_ok=True)
        verdict = examine(self.source, kind or sniff_kind(data) or "", self.target)
        if not verdict.is_rewritten:
            assert not self.target.exists()
            return verdict, data
        return verdict, self.target.read_bytes()

    def clean(self, data: bytes) -> tuple[Verdict, bytes]:
        """As `examine`; the clean form must be clean."""
        verdict, clean = self.examine(data)
        again, same = self.examine(clean, verdict.content_type)
        assert not again.is_rewritten
        assert same == clean
        assert (again.width, again.height, again.frames) == (verdict.width, verdict.height, verdict.frames)
        return verdict, clean

    def refuse(self, data: bytes, kind: str | None = None) -> KanvasError:
        """The error that the file is refused with."""
        with pytest.raises(KanvasError) as caught:
            self.examine(data, kind)
        assert caught.value.status in (413, 415, 422)
        return caught.value

    def render(self, data: bytes) -> list[Rendered]:
        self.source.write_bytes(data)
        return render(self.source, self.folder)
