"""Readings as Prometheus takes them. Pure.

Source: the text-based exposition format 0.0.4, and Prometheus' rules for names: base units,
counters end in ``_total``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from skep.model.readings import (
    ClusterReadings,
    HostReadings,
    LinkTraffic,
    PairFlows,
    Readings,
    Times,
)


class Exposition(Collector):
    """One moment's readings, in the form in which the library asks for them."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """All families of metrics."""
        told = self._readings
        about = GaugeMetricFamily(
            "skep_info", "The daemon's host, version and node.", labels=("host", "version", "node")
        )
        about.add_metric((told.hostname, told.version, told.host.node_id), 1)
        yield about
        yield from of_host(told.host)
        if told.cluster is not None:
            yield from of_cluster(told.cluster)


def exposed(readings: Readings) -> bytes:
    """The whole answer."""
    return generate_latest(Exposition(readings))


def of_host(host: HostReadings) -> Iterator[Metric]:
    """What is measured on every host."""
    yield by_label("skep_endpoints", "Endpoints here.", "network", host.endpoints)
    yield counted_by("skep_drift_repairs", "Things put right that somebody had changed.", "kind",
                     host.drift)  # fmt: skip
    yield CounterMetricFamily(
        "skep_kernel_changes", "Operations performed on the kernel.", host.changes
    )
    yield GaugeMetricFamily(
        "skep_kernel_refusals", "Operations that the kernel refused in the last look.", host.refused
    )
    yield GaugeMetricFamily("skep_held", "Whether nothing is repaired for now.", int(host.held))
    yield histogram("skep_convergence_seconds", "Time of a look and what it led to.", host.looks)
    yield from of_tunnels(host.tunnels)
    yield counted_by("skep_refused_packets", "Packets dropped for their sender.", "why",
                     host.refusals)  # fmt: skip
    yield from of_names(host)
    yield from of_pairs(host.pairs)
    for kind, what, value in (
        ("loss_ratio", "Share of the last probes that were lost.", "loss"),
        ("round_trip_seconds", "Smoothed round trip time.", "rtt"),
        ("large_loss_ratio", "Share of the last probes of the full MTU lost.", "large_loss"),
        (
            "path_mtu_bytes",
            "Largest packets that get there; 0: all that the link takes.",
            "path_mtu",
        ),
    ):
        values = {peer: getattr(seen, value) for peer, seen in host.peers.items()}
        yield by_label(f"skep_peer_{kind}", what, "peer", values)
    yield by_label(
        "skep_peer_encrypted", "Whether it answers through WireGuard.", "peer", host.encrypted
    )


class _Direction(NamedTuple):
    word: str
    member: str


def of_tunnels(tunnels: Mapping[str, LinkTraffic]) -> Iterator[Metric]:
    """What the networks' tunnels have carried and lost."""
    for kind in ("bytes", "packets", "errors", "dropped"):
        family = CounterMetricFamily(
            f"skep_tunnel_{kind}", f"{kind.capitalize()} at a network's tunnel, VXLAN included.",
            labels=("network", "direction"),
        )  # fmt: skip
        for network, traffic in tunnels.items():
            for way in (_Direction("in", "received"), _Direction("out", "sent")):
                count = getattr(traffic, f"{way.member}_{kind}")
                family.add_metric((network, way.word), count)
        yield family


def of_pairs(pairs: Iterable[PairFlows]) -> Iterator[Metric]:
    """Who talks to whom, as far as it is remembered: these shrink when conversations end."""
    labels = ("client", "server", "protocol", "port")
    for member, what in (
        ("flows", "Conversations remembered."),
        ("unanswered", "Of these, such as got no answer."),
        ("sent_bytes", "Bytes from clients in them."),
        ("received_bytes", "Bytes from servers in them."),
    ):
        name = "skep_flows" if member == "flows" else f"skep_flows_{member}"
        family = GaugeMetricFamily(name, what, labels=labels)
        for each in pairs:
            place = (each.client, each.server, each.protocol, str(each.port or ""))
            family.add_metric(place, getattr(each, member))
        yield family


def of_names(host: HostReadings) -> Iterator[Metric]:
    """What skep-dns has done."""
    answers = int(host.names is not None)
    yield GaugeMetricFamily("skep_dns_up", "Whether skep-dns answers.", answers)
    names = host.names
    if names is None:
        return
    yield counted_by("skep_dns_questions", "Questions asked.", "type", names.questions)
    for kind, what, count in (
        ("forwarded", "Questions put to upstream servers.", names.forwarded),
        ("failed", "Of these, such as got no answer.", names.failed),
        ("busy", "Questions refused because too many were under way.", names.busy),
    ):
        yield CounterMetricFamily(f"skep_dns_{kind}", what, count)
    times = HistogramMetricFamily("skep_dns_answer_seconds", "Time of an answer.", labels=("by",))
    for who, each in (("skep", names.own), ("upstream", names.upstream)):
        times.add_metric((who,), buckets(each), sum_value=each.total)
    yield times
    yield GaugeMetricFamily("skep_dns_sandboxes", "Sandboxes served.", names.sandboxes)
    yield GaugeMetricFamily("skep_dns_faults", "Sandboxes that cannot be served.", names.faults)


def of_cluster(cluster: ClusterReadings) -> Iterator[Metric]:
    """What is measured on managers."""
    yield GaugeMetricFamily("skep_state_revision", "Revision of the state.", cluster.revision)
    yield GaugeMetricFamily("skep_sessions", "Hosts with a session.", len(cluster.behind))
    yield by_label("skep_assignment_behind", "Revisions told and not applied.", "host",
                   cluster.behind)  # fmt: skip
    yield by_label("skep_nodes", "Nodes.", "state", cluster.nodes)
    yield by_label("skep_tasks", "Tasks, those of the history included.", "state", cluster.tasks)
    yield GaugeMetricFamily("skep_services", "Services.", cluster.services)
    yield by_label("skep_service_tasks_wanted", "Tasks that are to run.", "service", cluster.wanted)
    running = {service: cluster.running.get(service, 0) for service in cluster.wanted}
    yield by_label("skep_service_tasks_running", "Of these, those that do.", "service", running)
    used = {pool.network: pool.used for pool in cluster.pools}
    yield by_label("skep_network_addresses_used", "Addresses taken.", "network", used)
    sizes = {pool.network: pool.size for pool in cluster.pools}
    yield by_label("skep_network_addresses", "Addresses that there are.", "network", sizes)


def by_label(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    """One gauge with one label."""
    family = GaugeMetricFamily(name, what, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def counted_by(name: str, what: str, label: str, counts: Mapping[str, int]) -> Metric:
    """One counter with one label."""
    family = CounterMetricFamily(name, what, labels=(label,))
    for key, count in counts.items():
        family.add_metric((key,), count)
    return family


def histogram(name: str, what: str, times: Times) -> Metric:
    """Times, as a histogram."""
    return HistogramMetricFamily(name, what, buckets=buckets(times), sum_value=times.total)


def buckets(times: Times) -> list[tuple[str, float]]:
    """How many took at most so long, each bound as a text."""
    bounds = [str(bound) for bound in times.bounds]
    return [*zip(bounds, times.counts, strict=True), ("+Inf", times.number)]
