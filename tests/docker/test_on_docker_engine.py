"""skepd with Docker Engine for its engine: its containers, on Skep's networks."""

import os
import sys

import pytest
from docker_engine import PATH, SOCKET, UNDER_SKEP, DockerLab
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab():
    with DockerLab(f"oneng{os.getpid()}", 1, UNDER_SKEP) as lab:
        lab.up()
        lab.docker("h1", "network", "create", "--subnet", "10.61.0.0/24", "app")
        lab.docker("h1", "network", "create", "--ipv6", "--subnet", "10.62.0.0/24", "--subnet",
                   "fd00:62::/64", "other")  # fmt: skip
        lab.docker("h1", "run", "-d", "--name", "web", "--network", "app", "--ip", "10.61.0.80",
                   "-p", "8080:80", "nginx")  # fmt: skip
        yield lab


def served(lab, port):
    return "Welcome" in lab.run("h1", "curl", "-s", f"http://127.0.0.1:{port}/", check=False)


def refusal(lab, socket):
    """What a skepd says that is to use the engine behind a socket, and ends."""
    skepd = [sys.executable, "-m", "skep.daemon", "--socket", "/run/s.sock"]
    line = [*skepd, "--state", "/run/s", "--run", "/run/r", "--engine", f"unix://{socket}"]
    return lab.run("h1", "sh", "-c", f"{' '.join(line)} 2>&1", check=False)


def addresses(lab, container):
    shown = lab.docker("h1", "exec", container, "ip", "-o", "addr", "show")
    return {line.split()[3] for line in shown.splitlines()}


def test_a_container_has_skeps_network_names_and_ports(lab):
    asked = ["run", "--rm", "--network", "app", "busybox", "wget", "-qO-", "http://web/"]
    assert "Welcome" in until(lambda: lab.tried("h1", *asked)[1], 60)
    assert "10.61.0.80/24" in addresses(lab, "web")
    assert until(lambda: served(lab, 8080), 60)
    assert "0.0.0.0:8080" in lab.docker("h1", "port", "web")


def test_what_leads_it_there_is_not_shown(lab):
    asked = "{{json .Mounts}} {{json .HostConfig.Binds}} {{.HostConfig.NetworkMode}}"
    assert lab.docker("h1", "inspect", "-f", asked, "web").split() == ["[]", "null", "app"]
    assert ".skep" not in lab.docker("h1", "exec", "web", "ls", "-a", "/")


def test_networks_are_connected_while_it_runs_with_ipv6(lab):
    lab.docker(
        "h1", "network", "connect", "--ip", "10.62.0.9", "--ip6", "fd00:62::9", "other", "web"
    )
    assert {"10.62.0.9/24", "fd00:62::9/64"} <= addresses(lab, "web")
    lab.docker("h1", "network", "disconnect", "other", "web")
    assert "10.62.0.9/24" not in addresses(lab, "web")


def test_exec_logs_exit_codes_and_copies(lab, tmp_path):
    assert lab.docker("h1", "exec", "-i", "web", "cat", stdin="said\n") == "said\n"
    assert lab.tried("h1", "exec", "web", "sh", "-c", "exit 5")[0] == 5
    code, output, complaints = lab.tried("h1", "run", "--name", "ended", "busybox", "sh", "-c",
                                         "echo out; echo err >&2; exit 7")  # fmt: skip
    assert (code, output, complaints) == (7, "out\n", "err\n")
    assert lab.tried("h1", "logs", "ended")[1:] == ("out\n", "err\n")
    (tmp_path / "file").write_text("kept\n")
    lab.docker("h1", "cp", str(tmp_path / "file"), "web:/tmp/file")
    assert lab.docker("h1", "exec", "web", "cat", "/tmp/file") == "kept\n"
    lab.docker("h1", "rm", "ended")


def test_a_container_that_cannot_begin_says_why_and_is_gone(lab):
    code, _, complaints = lab.tried("h1", "run", "--rm", "--name", "not", "--user", "nosuch",
                                    "busybox", "true")  # fmt: skip
    assert code == 125
    assert "unable to find user nosuch" in complaints
    until(lambda: not lab.docker("h1", "ps", "-aq", "--filter", "name=not"))


def test_it_is_back_on_its_networks_after_stop_and_kill(lab):
    lab.docker("h1", "stop", "-t", "1", "web")
    assert not served(lab, 8080)
    lab.docker("h1", "start", "web")
    assert until(lambda: served(lab, 8080), 60)
    lab.docker("h1", "kill", "web")
    lab.docker("h1", "start", "web")
    assert "10.61.0.80/24" in addresses(lab, "web")
    assert until(lambda: served(lab, 8080), 60)


def test_one_that_docker_engine_restarts_is_put_back(lab):
    lab.docker("h1", "run", "-d", "--name", "again", "--restart", "always", "--network", "app",
               "--ip", "10.61.0.90", "busybox", "sleep", "1d")  # fmt: skip
    pid = lab.docker("h1", "inspect", "-f", "{{.State.Pid}}", "again").strip()
    lab.run("h1", "kill", "-9", pid)
    again = ["exec", "again", "ip", "-o", "addr", "show"]
    assert until(lambda: "10.61.0.90/24" in lab.tried("h1", *again)[1], 60)
    assert lab.docker("h1", "inspect", "-f", "{{.State.Pid}}", "again").strip() != pid
    lab.docker("h1", "rm", "-f", "again")


def test_containers_outlive_docker_engine(lab):
    pid = lab.docker("h1", "inspect", "-f", "{{.State.Pid}}", "web")
    engine = lab.run("h1", "cat", "/run/docker.pid").strip()
    lab.run("h1", "kill", "-9", engine)
    assert served(lab, 8080)
    # What is killed may answer once more.
    place = ["cat", "/run/docker.pid"]
    until(lambda: lab.run("h1", *place, check=False).strip() not in ("", engine), 120)
    asked = ["inspect", "-f", "{{.State.Pid}}", "web"]
    assert until(lambda: lab.tried("h1", *asked)[1] == pid, 120)
    assert "10.61.0.80/24" in addresses(lab, "web")
    lab.docker("h1", "restart", "-t", "0", "web")
    assert until(lambda: served(lab, 8080), 60)


def test_a_service_runs_on_an_overlay_network(lab):
    lab.docker("h1", "swarm", "init", "--advertise-addr", lab.address("h1"))
    lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "over")
    lab.docker("h1", "service", "create", "-d", "--name", "svc", "--replicas", "2", "--network",
               "over", "-p", "9090:80", "nginx")  # fmt: skip
    until(lambda: lab.running("svc", 2), 120)
    assert until(lambda: served(lab, 9090), 60)
    asked = ["run", "--rm", "--network", "over", "busybox", "wget", "-qO-", "http://svc/"]
    assert "Welcome" in until(lambda: lab.tried("h1", *asked)[1], 60)
    lab.docker("h1", "service", "rm", "svc")
    until(lambda: not lab.docker("h1", "ps", "-q", "--filter", "name=svc"), 60)


def test_one_without_the_runtime_is_refused(lab):
    other = (
        f"{PATH}; dockerd --data-root /run/plain --exec-root /run/plain-exec --bridge none"
        " --iptables=false --storage-driver vfs --pidfile /run/plain.pid -H unix:///run/plain.sock"
        " --exec-opt native.cgroupdriver=cgroupfs >/run/plain.log 2>&1 &"
        " until curl -s --unix-socket /run/plain.sock http://engine/_ping; do sleep 0.1; done"
    )
    lab.run("h1", "sh", "-c", other)
    try:
        told = refusal(lab, "/run/plain.sock")
    finally:
        lab.run("h1", "sh", "-c", "kill $(cat /run/plain.pid)")
    assert 'it does not know the runtime "skep"' in told
    assert "daemon.json must have" in told
    assert "Traceback" not in told


def test_nothing_at_the_socket_is_said(lab):
    assert "Cannot reach the container engine" in refusal(lab, f"{SOCKET}.not")
