"""Loopback ports for servers that tests start. Nobody else takes one before it is listened on, nor while its
server is down between two starts.

What the kernel gives out by itself (from 32768 on) anybody may get in between, so these lie below. Each
process of tests has a block of its own, which it holds by a UDP socket at the block's first number.
"""

import atexit
import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle, islice

BLOCKS = range(12_000, 21_000, 300)
"""Apart from the S3 server's (tests/blobs/weed.py); below 11,000 are some that Chromium opens no page on."""


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on, and that nobody else here is given."""
    return list(islice(filter(_is_free, _block()), count))


@cache
def _block() -> Iterator[int]:
    """The ports of this process, round and round."""
    for first in BLOCKS:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
            continue
        atexit.register(claim.close)
        return cycle(range(first + 1, first + BLOCKS.step))
    raise RuntimeError(f"all ports from {BLOCKS.start} to {BLOCKS.stop} are spoken for")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
