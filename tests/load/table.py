"""The result as people read it, and as a program does.

Owns: the table, the ratios, the JSON. Does not own: the numbers.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.load.scenarios import Row


def number(value: float | None) -> str:
    """Three digits that matter, as people write them."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(ours: Row, other: Row) -> float | None:
    """How many times better ours is; below 1: how many times worse."""
    if not ours.value or not other.value or min(ours.value, other.value) < 0:
        return None
    return ours.value / other.value if ours.more_is_better else other.value / ours.value


def show(console: Console, rows: Sequence[Row]) -> None:
    """One row per scenario and server, then what is worth a remark."""
    table = Table(title="Load", title_justify="left", show_lines=False, pad_edge=False)
    table.add_column("scenario", overflow="fold")
    table.add_column("server", no_wrap=True)
    for name in ("result", "goal", "ours / it", "CPU ms/1,000", "delivered/s", "p50 ms", "p99 ms", "RSS MiB"):
        table.add_column(name, justify="right", no_wrap=name != "result")
    previous = None
    firsts: dict[str, Row] = {}
    for row in rows:
        first = firsts.setdefault(row.scenario, row)
        times = ratio(first, row) if row is not first else None
        if previous not in (None, row.scenario):
            table.add_section()
        table.add_row(
            row.what if row is first else "",
            row.server,
            f"{number(row.value)} {row.unit}",
            "" if row.goal is None or row is not first else number(row.goal),
            "behind" if row.is_behind else "" if times is None else f"{number(times)}x",
            number(row.cpu_ms),
            number(row.per_s),
            number(row.p50_ms),
            number(row.p99_ms),
            number(None if row.rss_bytes is None else row.rss_bytes / 2**20),
        )
        previous = row.scenario
    console.print(table)
    for row in rows:
        for note in row.notes:
            console.print(
                f"{row.scenario}, {row.server}: {note}", markup=False, highlight=False, soft_wrap=True
            )


def store(path: Path, rows: Sequence[Row], facts: dict[str, Any]) -> None:
    """Everything as JSON."""
    path.write_text(json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
