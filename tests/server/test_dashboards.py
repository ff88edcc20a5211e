"""The Grafana dashboard and the alert rules: every metric and label they name is one that is scraped."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from party.tally import Tally
from server.exposition import counted, scrape
from tests.server.edge import open_edge

DEPLOY = Path(__file__).parents[2] / ".deploy"
OUTSIDE = {"up": set()}
"""Prometheus' own."""

TARGET = {"job", "instance", "worker"}
"""Labels that Prometheus adds to everything it scrapes; `worker` is set in the README's configuration."""

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
FUNCTIONS = {"sum", "max", "count", "rate", "increase", "histogram_quantile", "by"}
TOKEN = re.compile(
    rf"""\s+|(?P<range>\[\d+[smh]\])|(?P<number>\d+(\.\d+)?)|(?P<name>{NAME})|(?P<matchers>\{{[^}}]*\}})"""
    r"""|(?P<open>\()|(?P<close>\))|(?P<comma>,)|(?P<compare>==|!=|>=|<=|>|<)|(?P<math>[-+*/])"""
)
MATCHER = re.compile(rf'\s*({NAME})\s*(?:=~|!~|!=|=)\s*"([^"]*)"\s*(,|$)')


class Expression:
    """A PromQL expression taken apart as far as we use it. Raises ValueError for what it can't read."""

    def __init__(self, text: str) -> None:
        self.metrics: set[str] = set()
        self.labels: list[tuple[str, set[str]]] = []
        """Of each metric, the labels that are matched."""
        self.grouped: set[str] = set()
        at, depth, in_by, last = 0, 0, 0, ""
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"{text[at:]!r} can't be read in {text!r}")
            at, kind, word = found.end(), found.lastgroup, found[0]
            if kind == "open":
                depth += 1
                in_by = depth if last == "by" else in_by
            elif kind == "close":
                in_by = 0 if in_by == depth else in_by
                depth -= 1
                if depth < 0:
                    raise ValueError(f"one ) too many in {text!r}")
            elif kind == "name" and in_by:
                self.grouped.add(word)
            elif kind == "name" and word not in FUNCTIONS:
                self.metrics.add(word)
                self.labels.append((word, set()))
            elif kind == "matchers":
                if last != "metric":
                    raise ValueError(f"{word} matches nothing in {text!r}")
                self.labels[-1][1].update(_matched(word))
            elif kind == "range" and last not in ("metric", "matchers"):
                raise ValueError(f"{word} is of nothing in {text!r}")
            is_metric = kind == "name" and not in_by and word not in FUNCTIONS
            last = "metric" if is_metric else word if kind == "name" else kind or last
        if depth:
            raise ValueError(f"a ) is missing in {text!r}")
        if not self.metrics:
            raise ValueError(f"no metric in {text!r}")


def _matched(text: str) -> set[str]:
    inner, found, at = text[1:-1], set(), 0
    while at < len(inner):
        one = MATCHER.match(inner, at)
        if one is None:
            raise ValueError(f"{text} can't be read")
        found.add(one[1])
        at = one.end()
    return found


def labels_of_samples(families: Any) -> dict[str, set[str]]:
    """Every name a sample can have, and its labels."""
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def everything_counted() -> dict[str, set[str]]:
    """The names of all that is counted, when all of it has happened once."""
    tally = Tally()
    families = (tally.refused, tally.sent_bytes, tally.stored_bytes, tally.rejected, tally.disconnects)
    more = (tally.dropped, tally.catch_ups, tally.rooms_lost)
    for family in (*families, *more):
        family.bump("x")
    tally.meter("database").operation("read").errors.bump("SQLITE_BUSY")
    return labels_of_samples(counted(tally))


@pytest.fixture
async def known(tmp_path: Path, empty_database: Path) -> dict[str, set[str]]:
    async with open_edge(tmp_path, empty_database) as edge:
        text = scrape(edge.services).decode()
    scraped = labels_of_samples(text_string_to_metric_families(text))
    return scraped | everything_counted() | OUTSIDE


def dashboard() -> list[str]:
    told = json.loads((DEPLOY / "grafana.json").read_text())
    found = [target["expr"] for panel in told["panels"] for target in panel.get("targets", [])]
    return [one.replace("$job", "kanvas") for one in found]


def rules() -> list[dict[str, Any]]:
    told = yaml.safe_load((DEPLOY / "alerts.yml").read_text())
    return [rule for group in told["groups"] for rule in group["rules"]]


def check(text: str, known: dict[str, set[str]]) -> None:
    expression = Expression(text)
    assert expression.metrics <= known.keys(), text
    labels: set[str] = set(TARGET)
    for metric, matched in expression.labels:
        labels |= known[metric]
        assert matched <= known[metric] | TARGET, text
    assert expression.grouped <= labels, text


async def test_the_dashboard_shows_what_there_is(known: dict[str, set[str]]) -> None:
    """M1: a panel that names what is not scraped stays empty, and nobody knows why."""
    found = dashboard()
    assert len(found) > 40
    for text in found:
        check(text, known)


async def test_the_dashboard_shows_all_that_is_ours(known: dict[str, set[str]]) -> None:
    """M1: every metric of ours is on it."""
    shown = {metric for text in dashboard() for metric in Expression(text).metrics}
    ours = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in known if name.startswith("kanvas_")}
    assert {one for one in ours if not any(name.startswith(one) for name in shown)} == set()


async def test_the_alerts_are_about_what_there_is(known: dict[str, set[str]]) -> None:
    """M1: every rule can fire, says what to do, and names no label its expression has not."""
    found = rules()
    assert len({rule["alert"] for rule in found}) == len(found) > 10
    for rule in found:
        check(rule["expr"], known)
        assert rule["labels"]["severity"] in ("page", "ticket")
        words = rule["annotations"]["summary"] + rule["annotations"]["description"]
        expression = Expression(rule["expr"])
        told = set(re.findall(r"\$labels\.(\w+)", words))
        # an aggregate without "by" has no labels left
        is_plain = not re.match(r"\s*(sum|max|count|histogram_quantile)\b", rule["expr"])
        allowed = expression.grouped
        if is_plain:
            allowed = TARGET | {label for metric in expression.metrics for label in known[metric]}
        assert told <= allowed, rule["alert"]


@pytest.mark.parametrize(
    "text",
    [
        "sum(kanvas_rooms_open",
        "kanvas_rooms_open)",
        "rate([5m])",
        "sum(1)",
        "kanvas_x{job=kanvas}",
        "kanvas_x &",
    ],
)
def test_an_expression_that_is_none_is_found_out(text: str) -> None:
    """M1: the check above would notice."""
    with pytest.raises(ValueError, match=r"."):
        Expression(text)
