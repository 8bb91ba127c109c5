"""Readings of all hosts, scraped by a real Prometheus inside the lab."""

import json
import os
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest
from mesh_lab import ask
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

CONFIGURATION = """
global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
  - job_name: skep
    static_configs: [{targets: [%s]}]
"""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"prom{os.getpid()}", 2, "--metrics=0.0.0.0:9323") as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "net")
        lab.docker(
            "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "web",
            "--replicas", "2", "--network", "net", "--publish", "8080:80", "nginx",
        )  # fmt: skip
        until(lambda: lab.running("web", 2), 60)
        yield lab


@pytest.fixture(scope="module")
def prometheus(lab, tmp_path_factory):
    """It runs inside h1, so that it reaches the lab's hosts and nothing else."""
    program = shutil.which("prometheus")
    assert program, "there is no Prometheus: bin/test installs one"
    folder = tmp_path_factory.mktemp("prometheus")
    targets = ", ".join(f'"{lab.address(host)}:9323"' for host in lab.hosts)
    (folder / "prometheus.yml").write_text(CONFIGURATION % targets)
    command = [
        program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:9090", "--log.level=warn",
    ]  # fmt: skip
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(lab.inside("h1", *command), stdout=log, stderr=log)
    try:
        until(lambda: asked(lab, 'up{job="skep"} == 1') or process.poll(), 60)
        yield
    finally:
        lab.run("h1", "pkill", "-f", str(folder), check=False)
        process.wait(60)


def asked(lab, question):
    """The answer to a query: labels and value of each series."""
    query = urllib.parse.urlencode({"query": question})
    place = f"http://127.0.0.1:9090/api/v1/query?{query}"
    # While it starts, it answers with an error that is no JSON.
    answer = lab.run("h1", "curl", "-s", "-f", "-m", "20", place, check=False)
    found = json.loads(answer)["data"]["result"] if answer else []
    return [(one["metric"], float(one["value"][1])) for one in found]


def value(lab, question):
    found = asked(lab, question)
    return found[0][1] if len(found) == 1 else None


def test_every_host_is_scraped(lab, prometheus):
    until(lambda: len(asked(lab, "up == 1")) == 2, 60)
    until(lambda: {labels["host"] for labels, _ in asked(lab, "skep_info")} == {"h1", "h2"}, 60)
    until(lambda: value(lab, 'skep_service_tasks_running{service="web"}') == 2, 60)
    # A host that did not answer Prometheus in time is left out of sums until it does again.
    until(lambda: value(lab, "sum(skep_sessions)") == 2, 60)
    until(lambda: value(lab, 'sum(skep_endpoints{network="net"})') == 2, 60)
    until(lambda: value(lab, "sum(skep_dns_up)") == 2, 60)
    until(lambda: value(lab, 'skep_network_addresses{network="net"}') == 253, 60)
    until(lambda: value(lab, 'min(skep_peer_round_trip_seconds{peer="h2"})'), 60)


def test_traffic_through_a_tunnel_is_counted(lab, prometheus):
    question = 'sum(skep_tunnel_bytes_total{network="ingress",direction="out"})'
    asks = ("load", lab.address("h1"), "8080", "6", "1")
    until(lambda: len(ask(lab, "h2", *asks)["answered"]) == 2, 60)
    [(_, before)] = until(lambda: asked(lab, question), 60)
    for _ in range(20):
        lab.run(
            "h2", "curl", "-s", "-m", "60", "-o", "/dev/null", f"http://{lab.address('h1')}:8080/"
        )
    until(lambda: (value(lab, question) or 0) > before + 5000, 60)


def test_what_somebody_changes_is_repaired_and_counted(lab, prometheus):
    question = "sum(skep_drift_repairs_total)"
    until(lambda: len(asked(lab, "up == 1")) == 2, 60)
    before = value(lab, question) or 0
    space = "1-" + lab.docker("h1", "network", "inspect", "-f", "{{.Id}}", "net")[:10]
    begun = time.monotonic()
    lab.run("h2", "ip", "-n", space, "addr", "flush", "dev", "br0")
    until(lambda: "10.0.1.1/24" in lab.run("h2", "ip", "-n", space, "addr", "show", "br0"))
    assert time.monotonic() - begun < 5
    until(lambda: (value(lab, question) or 0) > before, 60)


def test_on_the_api_s_own_socket_too(lab):
    told = lab.run("h1", "curl", "-s", "--unix-socket", "/run/docker.sock", "http://d/metrics")
    assert 'skep_info{host="h1"' in told


DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana" / "skep.json"
PANELS = json.loads(DASHBOARD.read_text())["panels"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_the_dashboard_asks_for_what_there_is(lab, prometheus, panel):
    for target in panel["targets"]:
        until(lambda question=target["expr"]: asked(lab, question), 60)
