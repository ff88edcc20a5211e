"""Exposition: what this process has done and has open, in Prometheus' text format.

Owns: the names, types, labels and help of every metric. Does not own: counting (party/tally.py), who may read
(metrics.py), the dashboard and the alerts (.deploy/), other processes: each is scraped by itself.
Rules: nothing is gathered between scrapes; a label's values come from a table of ours and never name a room
or a person; a name that was given stays. Keeps rules M1, M2. Source: prometheus.io/docs/practices/naming.

A scrape of 2,000 rooms takes 3 ms of the loop. The library takes 40 ms to import: metrics.py does it when
somebody asks for the first time, in a thread.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from party.tally import Buckets, Family, Tally
from server.rates.actions import ACTIONS
from server.services import Services
from server.sign_in import app_version


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(f"kanvas_{name}", told, value=value)


def _family(name: str, told: str, label: str, counted: Family) -> Metric:
    found = CounterMetricFamily(f"kanvas_{name}", told, labels=[label])
    for word, value in list(counted.items()):
        found.add_metric([word], value)
    return found


def _split(name: str, told: str, label: str, counted: Mapping[str, float]) -> Metric:
    found = CounterMetricFamily(f"kanvas_{name}", told, labels=[label])
    for word, value in counted.items():
        found.add_metric([word], value)
    return found


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"kanvas_{name}", told, value=value)


def _histogram(
    name: str, told: str, labels: Iterable[str], rows: Iterable[tuple[list[str], Buckets]]
) -> Metric:
    found = HistogramMetricFamily(f"kanvas_{name}_seconds", told, labels=list(labels))
    for values, buckets in rows:
        total = 0
        told_buckets = []
        for bound, count in zip((*buckets.bounds, float("inf")), buckets.counts, strict=True):
            total += count
            told_buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
        found.add_metric(values, buckets=told_buckets, sum_value=buckets.sum_s)
    return found


def counted(tally: Tally) -> Iterator[Metric]:
    """What was done since the process started."""
    yield _counter(
        "messages_received", "Complete WebSocket messages that rooms were handed.", tally.messages_in
    )
    yield _counter("updates", "Updates that came in, by socket and over HTTP.", tally.updates)
    yield _counter("journal_rows", "Rows made durable.", tally.entries)
    yield _counter("deliveries", "Batches of edits handed to connections.", tally.deliveries)
    yield _family(
        "updates_refused", "Updates that were not taken, by the error's code.", "code", tally.refused
    )
    yield _histogram("tick_lag", "How late a room with work was visited.", (), [([], tally.tick_late)])
    yield _histogram("commit", "From apply to the journal's answer.", (), [([], tally.commit)])
    yield _counter(
        "commits_failed", "Appends to the journal that failed and are repeated.", tally.commits_failed
    )
    yield _family(
        "sent_bytes", "Bytes handed to sockets by rooms, by what they were.", "what", tally.sent_bytes
    )
    yield _counter("received_bytes", "Bytes from WebSockets after their handshake.", tally.received_bytes)
    yield _family("blob_bytes", "Bytes of images and files, by direction.", "direction", tally.stored_bytes)
    yield _counter("joins", "Connections that got a seat in a room.", tally.joins)
    yield _family("joins_refused", "Connections that got none, by the error's code.", "code", tally.rejected)
    yield _family("disconnects", "Connections that ended, by close code.", "code", tally.disconnects)
    yield _family(
        "outbox_drops", "What slow readers did not get: presence, or frames.", "what", tally.dropped
    )
    yield _family("catch_ups", "How slow readers came back: by frames or by state.", "how", tally.catch_ups)
    yield _counter("rooms_created", "Rooms that were made.", tally.rooms_created)
    yield _histogram("room_load", "To open a room from its journal.", (), [([], tally.load)])
    yield _family(
        "rooms_lost", "Open rooms that were dropped, by the error's code.", "code", tally.rooms_lost
    )
    yield _counter("checkpoints", "Checkpoints written.", tally.checkpoints)
    yield _counter(
        "checkpoints_failed", "Checkpoints that failed and are repeated.", tally.checkpoints_failed
    )
    bus = tally.bus
    yield _split("bus_messages", "Datagrams between nodes.", "direction", {"out": bus.sent, "in": bus.heard})
    yield _split(
        "bus_bytes",
        "Of datagrams between nodes.",
        "direction",
        {"out": bus.sent_bytes, "in": bus.heard_bytes},
    )
    yield _counter("bus_rejoins", "Times the bus was connected anew.", bus.rejoins)
    yield _histogram(
        "bus_lag", "From saying something to all nodes until it comes back: both ways.", (), [([], bus.lag)]
    )
    accounts = [
        (service, operation, account)
        for service, meter in list(tally.meters.items())
        for operation, account in list(meter.operations.items())
    ]
    yield _histogram(
        "backend",
        "Calls of database, blobs and Redis.",
        ("service", "operation"),
        [([service, operation], account.took) for service, operation, account in accounts],
    )
    failed = CounterMetricFamily(
        "kanvas_backend_errors",
        "Calls that failed, by the backend's own status.",
        labels=["service", "operation", "status"],
    )
    for service, operation, account in accounts:
        for status, value in list(account.errors.items()):
            failed.add_metric([service, operation, status], value)
    yield failed


def counted_elsewhere(services: Services) -> Iterator[Metric]:
    """What was done since the start too, in numbers that their owners keep."""
    relay, bus = services.hub.relay, services.tally.bus
    held_back = services.tally.held_back
    yield _split(
        "bus_lost",
        "Datagrams given up: damaged or of nobody; not sent, for the way was shut or full.",
        "why",
        {"unreadable": bus.unheard + relay.ignored, "full": bus.dropped},
    )
    yield _split(
        "bus_rows",
        "Rows of journals between nodes.",
        "direction",
        {"out": relay.rows_out, "in": relay.rows_in},
    )
    yield _counter("bus_gaps", "Times rows were missing and were read from the journal.", relay.gaps)
    assets = services.backplane.asset_cache
    cache = CounterMetricFamily("kanvas_cache_requests", "Looks into caches.", labels=["cache", "result"])
    cache.add_metric(["assets", "hit"], assets.hits if assets is not None else 0)
    cache.add_metric(["assets", "miss"], assets.misses if assets is not None else 0)
    yield cache
    yield _split(
        "rate_denials",
        "Requests refused and connections held back for their rate, by action.",
        "action",
        {name: services.rates.refusals[name] + held_back.get(name, 0) for name in ACTIONS},
    )
    yield _counter("rate_fallbacks", "Rates decided without Redis.", services.rates.fallbacks)


def seen(services: Services) -> Iterator[Metric]:
    """What is open now."""
    rooms = services.hub.rooms.values()
    info = GaugeMetricFamily("kanvas_info", "1; which version, and which node.", labels=["version", "node"])
    info.add_metric([app_version(), services.notes.node], 1)
    yield info
    yield _gauge("ready", "1 when this process wants traffic.", services.readiness.phase == "ready")
    yield _gauge("nodes", "Live nodes, this one included.", len(services.notes.nodes()))
    yield _gauge("connections", "WebSocket connections.", len(services.traffic))
    yield _gauge("rooms_open", "Rooms in memory.", len(rooms))
    yield _gauge("seats", "Connections that have a seat in a room.", sum(len(one.sessions) for one in rooms))
    yield _gauge("seats_lagging", "Of these, those that can't keep up.", sum(one.lagging for one in rooms))
    yield _gauge("rooms_waiting", "Rooms whose journal does not answer.", sum(one.frozen for one in rooms))
    sizes = [one.view.size_bytes for one in rooms]
    yield _gauge("document_bytes", "Of all open documents.", sum(sizes))
    yield _gauge("document_bytes_largest", "Of the largest open document.", max(sizes, default=0))
    rows = [one.rows_since_checkpoint for one in rooms]
    yield _gauge("journal_length_rows", "Rows since the last checkpoint, of all open rooms.", sum(rows))
    yield _gauge("journal_length_rows_largest", "Of the room with most.", max(rows, default=0))
    yield _gauge(
        "journal_length_bytes",
        "Bytes since the last checkpoint, of all open rooms.",
        sum(one.bytes_since_checkpoint for one in rooms),
    )
    yield _gauge("rooms_frozen", "Rooms the operator froze.", len(services.oversight.frozen))
    yield _gauge("quarantine_holds", "Entries of the quarantine.", len(services.keeper.holds()))


class KanvasCollector(Collector):
    """Reads the tally and the hub when it is asked, on the event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        yield from counted(self._services.tally)
        yield from counted_elsewhere(self._services)
        yield from seen(self._services)


def scrape(services: Services) -> bytes:
    """All of it in Prometheus' text format."""
    # a registry of its own: the library's global one holds whatever others put there
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(KanvasCollector(services))
    return generate_latest(registry)
