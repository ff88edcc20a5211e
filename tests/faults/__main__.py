"""`python -m tests.faults`: so many seeded faults at several nodes, and what came of them."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.faults.cluster import open_cluster
from tests.faults.faults import FAULTS
from tests.faults.people import Drawer
from tests.faults.storm import storm


async def run(chosen: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="kanvas-faults-") as folder:
        async with open_cluster(Path(folder), chosen.nodes) as cluster:
            token, room_id = await cluster.room()
            urls = [f"{node.ws_url}/{room_id}" for node in cluster.nodes]
            drawers = [
                Drawer(f"d{n}", urls, token, random.Random(f"{chosen.seed}-{n}"))
                for n in range(chosen.people)
            ]
            names = tuple(chosen.fault or FAULTS)
            report = await storm(
                cluster,
                drawers,
                token,
                room_id,
                count=chosen.faults,
                seed=chosen.seed,
                say=lambda line: print(line, flush=True),
                names=names,
            )
    print("\n".join(report.lines()))
    late = [f"{name}: {took_s:.2f} s" for name, took_s in report.faults if took_s > chosen.within]
    if late:
        print(f"later than {chosen.within:g} s: {'; '.join(late)}")
    return 1 if report.lost or late else 0


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many (default: 200, some ten minutes)")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--people", type=int, default=6)
    parser.add_argument(
        "--within", type=float, default=2.0, help="seconds after its cure in which all must have the same"
    )
    parser.add_argument("--fault", action="append", choices=sorted(FAULTS), help="only this; may be repeated")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
