"""What kind of image some bytes are: the names that were here before `media/kinds.py`.

Owns: nothing. Does not own: signatures (`media/kinds.py`).
"""

from server.media.kinds import HEAD_BYTES, sniff_image

__all__ = ["HEAD_BYTES", "sniff_image"]
