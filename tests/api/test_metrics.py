"""Readings in the form that Prometheus reads, read back by the library's own parser."""

from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client.parser import text_string_to_metric_families

from skep.api.metrics import make_metrics_app
from skep.api.shapes.metrics import exposed
from skep.model.inspection import PeerSight
from skep.model.readings import (
    ClusterReadings,
    HostReadings,
    LinkTraffic,
    NameCounts,
    PoolReading,
    Readings,
    Times,
)

TRAFFIC = LinkTraffic(
    namespace="1-net", link="vxlan0", received_bytes=10, sent_bytes=20, received_dropped=3
)
TIMES = Times(bounds=(0.1, 1.0), counts=(3, 5), number=6, total=7.5)
HOST = HostReadings(
    node_id="n1",
    endpoints={"net": 2},
    drift={"AddFdb": 4},
    changes=9,
    looks=TIMES,
    tunnels={"net": TRAFFIC},
    names=NameCounts(questions={"A": 11, "PTR": 1}, forwarded=2, own=TIMES),
    peers={"h2": PeerSight(address="192.0.2.2", rtt=0.002, loss=0.25)},
)
CLUSTER = ClusterReadings(
    revision=30, behind={"h1": 0, "h2": 3}, nodes={"ready": 2}, tasks={"running": 5},
    services=2, wanted={"web": 3, 'odd "one"\n': 1}, running={"web": 2},
    pools=(PoolReading(network="net", used=5, size=253),),
)  # fmt: skip


def samples(readings):
    """Every sample: its name and labels, and its value."""
    families = text_string_to_metric_families(exposed(readings).decode())
    return {
        (one.name, *sorted(one.labels.items())): one.value
        for family in families
        for one in family.samples
    }


def told(host=HOST, cluster=None):
    return samples(Readings(hostname="h1", version="1.2", host=host, cluster=cluster))


def test_a_host_s_readings():
    found = told()
    about = {"host": "h1", "version": "1.2", "node": "n1"}
    assert [dict(labels) for name, *labels in found if name == "skep_info"] == [about]
    assert found["skep_endpoints", ("network", "net")] == 2
    assert found["skep_drift_repairs_total", ("kind", "AddFdb")] == 4
    assert found["skep_kernel_changes_total",] == 9
    net = ("network", "net")
    assert found["skep_tunnel_bytes_total", ("direction", "out"), net] == 20
    assert found["skep_tunnel_dropped_total", ("direction", "in"), net] == 3
    assert found["skep_dns_up",] == 1
    assert found["skep_dns_questions_total", ("type", "A")] == 11
    assert found["skep_peer_loss_ratio", ("peer", "h2")] == 0.25
    assert not any(name.startswith("skep_nodes") for name, *_ in found), "it is no manager"


@pytest.mark.parametrize(
    ("name", "labels"),
    [("skep_convergence_seconds", ()), ("skep_dns_answer_seconds", (("by", "skep"),))],
)
def test_times_are_a_histogram(name, labels):
    found = told()
    buckets = [found[f"{name}_bucket", *labels, ("le", bound)] for bound in ("0.1", "1.0", "+Inf")]
    assert buckets == [3, 5, 6]
    assert (found[f"{name}_sum", *labels], found[f"{name}_count", *labels]) == (7.5, 6)


def test_a_name_server_that_is_away_is_no_zero():
    found = told(host=HostReadings())
    assert found["skep_dns_up",] == 0
    assert not any(name.startswith("skep_dns_questions") for name, *_ in found)


def test_a_manager_s_readings():
    found = told(cluster=CLUSTER)
    assert found["skep_assignment_behind", ("host", "h2")] == 3
    assert found["skep_sessions",] == 2
    assert found["skep_service_tasks_wanted", ("service", 'odd "one"\n')] == 1
    assert found["skep_service_tasks_running", ("service", 'odd "one"\n')] == 0
    assert found["skep_network_addresses_used", ("network", "net")] == 5
    assert found["skep_network_addresses", ("network", "net")] == 253


async def test_by_tcp_there_is_nothing_else():
    async def readings():
        return Readings(hostname="h1", version="1", host=HOST)

    app: web.Application = make_metrics_app(SimpleNamespace(readings=readings))
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        async with http.get(server.make_url("/metrics")) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "skep_endpoints" in await answer.text()
        for path in ("/", "/containers/json", "/v1.44/info"):
            async with http.get(server.make_url(path)) as answer:
                assert answer.status == 404
