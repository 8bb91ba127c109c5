"""`skep flows` on a lab: who talks to whom over the mesh, by a VIP, in vain, and to the outside."""

import json
import os

import pytest
from swarm_lab import until
from trace_lab import TraceLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab():
    with TraceLab(f"flows{os.getpid()}", hosts=3) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "back")
        lab.docker(
            "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", "web",
            "--network", "back", "--replicas", "3", "-p", "8080:80", "nginx",
        )  # fmt: skip
        lab.docker(
            "h1", "run", "-d", "--name", "box", "--network", "back", "busybox", "sleep", "999"
        )
        until(lambda: lab.running("web", 3), 60)
        until(lambda: asks(lab), 60)
        yield lab


def asks(lab):
    """A request from the box, by the VIP."""
    return lab.tried("h1", "exec", "box", "wget", "-qO", "/dev/null", "http://web/")[0] == 0


def flows(lab, *options, host="h1"):
    code, output, complaints = lab.skep_cli(host, "flows", "--json", *options)
    assert code == 0, complaints
    return json.loads(output)["flows"]


def test_by_a_virtual_address(lab):
    (vip,) = lab.docker(
        "h1", "service", "inspect", "-f",
        '{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}', "web",
    ).split()[1:]  # fmt: skip

    def found():
        asks(lab)
        told = flows(lab, "box", "--port", "80")
        # An attempt before anybody answered is remembered for two minutes.
        return told and {each["verdict"] for each in told} == {"answered"} and told

    for each in until(found, 200):
        assert each["client"]["name"] == "box"
        assert each["server"]["service"] == "web"
        assert each["server"]["network"] == "back"
        assert each["asked"] == f"web {vip.partition('/')[0]}:80"
        assert (each["host"], each["verdict"]) == ("h1", "answered")
        assert each["received_bytes"] > 200


def test_through_the_mesh_it_is_told_once_by_the_task(lab):
    curl = ("curl", "-sfo", "/dev/null", "-w", "%{http_code}", f"http://{lab.address('h2')}:8080/")
    until(lambda: lab.run("h3", *curl, check=False) == "200", 60)
    before = {each["client"]["port"] for each in flows(lab, "h3")}
    lab.run("h3", *curl)
    (made,) = until(
        lambda: [each for each in flows(lab, "h3") if each["client"]["port"] not in before], 60
    )
    assert (made["client"]["kind"], made["client"]["address"]) == ("host", lab.address("h3"))
    assert made["server"]["service"] == "web"
    assert made["server"]["port"] == 80


def test_what_nobody_answered(lab):
    lab.docker("h1", "exec", "-d", "box", "timeout", "60", "nc", "10.0.1.250", "99")
    (found,) = until(lambda: flows(lab, "--unanswered", "--port", "99"), 60)
    assert (found["server"]["kind"], found["server"]["network"]) == ("nobody", "back")
    code, output, _ = lab.skep_cli("h1", "flows", "--unanswered")
    assert code == 0
    assert "99/tcp" in output


def test_a_worker_tells_its_own(lab):
    assert {each["host"] for each in flows(lab, "web", host="h2")} <= {"h2"}
    code, _, complaints = lab.skep_cli("h2", "flows", "--port", "http")
    assert code == 1
    assert 'invalid port "http"' in complaints


def test_metrics_tell_of_pairs(lab):
    wanted = 'skep_flows{client="box",port="80",protocol="tcp",server="web"}'

    def told():
        asks(lab)
        text = lab.run("h1", "curl", "-sf", "http://127.0.0.1:9323/metrics")
        return wanted in text and text

    assert "skep_flows_received_bytes{" in until(told, 60)
