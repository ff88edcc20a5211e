"""A process that fetches, and prints by how many bytes the large file raised its peak.

`python -m tests.imports.reader SMALL LARGE TARGET`
"""

import asyncio
import resource
import sys
from pathlib import Path

from server.imports.fetch import fetch
from tests.imports.far import LOOPBACK


def peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        # Linux counts into ru_maxrss what the process was before it became this program
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def main(small: str, large: str, target: Path) -> None:
    await fetch(small, target, max_bytes=1 << 30, networks=LOOPBACK)
    before = peak_bytes()
    await fetch(large, target, max_bytes=1 << 30, networks=LOOPBACK)
    sys.stdout.write(f"{peak_bytes() - before}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
