"""``docker swarm``, verb by verb and flag by flag, on hosts that are in no swarm yet."""

import json
import os

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

INIT = (
    "--listen-addr", "0.0.0.0:2400", "--data-path-addr", "eth0", "--data-path-port", "5789",
    "--default-addr-pool", "10.60.0.0/16", "--default-addr-pool-mask-length", "26",
    "--availability", "pause", "--cert-expiry", "48h", "--dispatcher-heartbeat", "3s",
    "--task-history-limit", "2",
)  # fmt: skip


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"swarm{os.getpid()}", 3) as lab:
        lab.up(swarm=False)
        yield lab


@pytest.fixture(scope="module")
def swarm(lab):
    """A swarm made with every flag there is; what ``swarm init`` printed."""
    return lab.docker("h1", "swarm", "init", "--advertise-addr", lab.address("h1"), *INIT)


def info(lab, host):
    return json.loads(lab.docker(host, "info", "--format", "{{json .Swarm}}"))


def token(lab, role="worker"):
    return lab.docker("h1", "swarm", "join-token", "-q", role).strip()


def join(lab, host, *options, key=None):
    manager = f"{lab.address('h1')}:2400"
    return lab.tried(
        host, "swarm", "join", "--token", key or token(lab), *options, manager
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--autolock",), "--autolock"),
        (("--force-new-cluster",), "leave it out to make a new swarm"),
        (("--snapshot-interval", "5"), "has no Raft"),
        (("--external-ca", "protocol=cfssl,url=https://x"), "external CAs are not supported"),
        (("--data-path-port", "80"), "not in valid range (1024-49151)"),
        (("--default-addr-pool-mask-length", "31"), "8 to 29"),
        (("--cert-expiry", "1m"), "minimum certificate expiry time is 1h0m0s"),
        (("--advertise-addr", "nosuch0"), "nosuch0"),
        (("--advertise-addr", "203.0.113.77"), "203.0.113.77"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(lab, flags, sentence):
    code, _, said = lab.tried("h3", "swarm", "init", *flags)
    assert code == 1
    assert sentence in said
    assert info(lab, "h3")["LocalNodeState"] == "inactive"


def test_outside_of_a_swarm(lab):
    for words in (("node", "ls"), ("service", "ls"), ("secret", "ls"), ("swarm", "ca"),
                  ("swarm", "join-token", "worker")):  # fmt: skip
        code, _, said = lab.tried("h3", *words)
        assert code == 1
        assert 'Use "docker swarm init" or "docker swarm join"' in said
    code, _, said = lab.tried("h3", "swarm", "leave")
    assert (code, said) == (1, "Error response from daemon: This node is not part of a swarm\n")


def test_init_with_all_its_flags(lab, swarm):
    assert "is now a manager." in swarm
    assert f"docker swarm join --token {token(lab)} {lab.address('h1')}:2400" in swarm
    found = info(lab, "h1")
    cluster = found["Cluster"]
    assert (found["LocalNodeState"], found["ControlAvailable"]) == ("active", True)
    assert (found["Nodes"], found["Managers"]) == (1, 1)
    assert (cluster["DataPathPort"], cluster["SubnetSize"]) == (5789, 26)
    assert cluster["DefaultAddrPool"] == ["10.60.0.0/16"]
    spec = cluster["Spec"]
    assert spec["CAConfig"]["NodeCertExpiry"] == 48 * 3600 * 10**9
    assert spec["Dispatcher"]["HeartbeatPeriod"] == 3 * 10**9
    assert spec["Orchestration"]["TaskHistoryRetentionLimit"] == 2
    shown = lab.docker("h1", "node", "inspect", "-f", "{{.Spec.Availability}}", "self")
    assert shown.strip() == "pause"
    code, _, said = lab.tried("h1", "swarm", "init")
    assert code == 1
    assert "This node is already part of a swarm" in said


def test_info_tells_all_of_it(lab, swarm):
    shown = lab.docker("h1", "info")
    for line in (
        " Swarm: active", "  Is Manager: true", "  Managers: 1", "  Nodes: 1",
        "  Default Address Pool: 10.60.0.0/16  ", "  SubnetSize: 26", "  Data Path Port: 5789",
        "   Task History Retention Limit: 2", "   Heartbeat Period: 3 seconds",
        "   Expiry Duration: 2 days", "  Autolock Managers: false",
        f"  Node Address: {lab.address('h1')}", f"   {lab.address('h1')}:2400",
    ):  # fmt: skip
        assert line in shown.splitlines()


def test_networks_come_from_the_pool(lab, swarm):
    lab.docker("h1", "network", "create", "-d", "overlay", "pooled")
    form = "{{range .IPAM.Config}}{{.Subnet}}{{end}}"
    subnet = lab.docker("h1", "network", "inspect", "-f", form, "pooled").strip()
    assert subnet.startswith("10.60.")
    assert subnet.endswith("/26")
    lab.docker("h1", "network", "rm", "pooled")


def test_joining_and_leaving(lab, swarm):
    code, _, said = join(lab, "h2", key="SWMTKN-1-" + "0" * 50 + "-" + "0" * 25)
    assert code == 1
    assert "remote CA does not match fingerprint" in said
    code, _, said = join(lab, "h2", key=token(lab, "manager"))
    assert code == 1
    assert "join-token worker" in said, "it says what to do instead"
    options = ("--availability", "drain", "--advertise-addr", "eth0", "--data-path-addr",
               lab.address("h2"), "--listen-addr", "0.0.0.0:2377")  # fmt: skip
    code, said, _ = join(lab, "h2", *options)
    assert (code, said) == (0, "This node joined a swarm as a worker.\n")
    found = info(lab, "h2")
    assert (found["LocalNodeState"], found["ControlAvailable"]) == ("active", False)
    assert found["RemoteManagers"][0]["Addr"] == f"{lab.address('h1')}:2400"
    shown = lab.docker("h1", "node", "inspect", "-f", "{{.Spec.Availability}}", "h2")
    assert shown.strip() == "drain"
    code, _, said = join(lab, "h2")
    assert code == 1
    assert "This node is already part of a swarm" in said

    assert lab.docker("h2", "swarm", "leave") == "Node left the swarm.\n"
    listed = ("node", "ls", "--filter", "name=h2", "--format", "{{.Status}}")
    until(lambda: lab.docker("h1", *listed).split() == ["Down"], 60)
    assert join(lab, "h2")[0] == 0
    # It is a new node.
    until(lambda: sorted(lab.docker("h1", *listed).split()) == ["Down", "Ready"], 60)
    form = ("{{.ID}} {{.Status}}",)
    rows = lab.docker("h1", "node", "ls", "--filter", "name=h2", "--format", *form).splitlines()
    [gone] = [row.split()[0] for row in rows if row.endswith("Down")]
    assert lab.docker("h1", "node", "rm", gone).strip() == gone


def test_a_rotated_token_is_good_for_nothing(lab, swarm):
    old = token(lab)
    said = lab.docker("h1", "swarm", "join-token", "--rotate", "worker")
    assert said.startswith("Successfully rotated worker join token.\n")
    assert token(lab) != old
    assert token(lab) in said
    code, _, said = join(lab, "h3", key=old)
    assert code == 1
    assert "join token" in said
    assert info(lab, "h3")["LocalNodeState"] == "inactive"
    assert join(lab, "h3")[0] == 0
    lab.docker("h3", "swarm", "leave")


def test_update(lab, swarm):
    assert lab.docker(
        "h1", "swarm", "update", "--cert-expiry", "72h", "--dispatcher-heartbeat", "4s",
        "--task-history-limit", "7", "--autolock=false",
    ) == "Swarm updated.\n"  # fmt: skip
    spec = info(lab, "h1")["Cluster"]["Spec"]
    assert spec["CAConfig"]["NodeCertExpiry"] == 72 * 3600 * 10**9
    assert spec["Dispatcher"]["HeartbeatPeriod"] == 4 * 10**9
    assert spec["Orchestration"]["TaskHistoryRetentionLimit"] == 7
    lab.docker("h1", "swarm", "update", "--cert-expiry", "48h", "--dispatcher-heartbeat", "3s",
               "--task-history-limit", "2")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("update", "--autolock"), "--autolock"),
        (("update", "--snapshot-interval", "9"), "has no Raft"),
        (("update", "--max-snapshots", "9"), "has no Raft"),
        (("update", "--cert-expiry", "1s"), "minimum certificate expiry time is 1h0m0s"),
        (("ca", "--rotate"), "rotating the CA is not supported"),
        (("unlock-key",), "no unlock key is set"),
        (("unlock-key", "--rotate"), "cannot rotate because autolock is not turned on"),
        (("unlock",), "swarm is not locked"),
        (("leave",), "Use `--force` to ignore this message."),
    ],
)
def test_what_is_refused_says_why(lab, swarm, words, sentence):
    code, _, said = lab.tried("h1", "swarm", *words)
    assert code == 1
    assert sentence in said


def test_the_ca_is_the_one_that_tokens_pin(lab, swarm):
    certificate = lab.docker("h1", "swarm", "ca")
    assert certificate.startswith("-----BEGIN CERTIFICATE-----")
    shown = lab.docker("h1", "node", "inspect", "-f", "{{.Description.TLSInfo.TrustRoot}}", "self")
    assert shown.strip() == certificate.strip()


def test_the_last_manager_takes_all_with_it(lab, swarm):
    if info(lab, "h2")["LocalNodeState"] == "inactive":
        assert join(lab, "h2")[0] == 0
    old = info(lab, "h1")["Cluster"]["ID"]
    assert lab.docker("h1", "swarm", "leave", "--force") == "Node left the swarm.\n"
    assert info(lab, "h1")["LocalNodeState"] == "inactive"
    lab.docker("h1", "swarm", "init", "--advertise-addr", "eth0")
    found = info(lab, "h1")
    assert found["Cluster"]["ID"] != old
    assert found["NodeAddr"] == lab.address("h1")
    # The worker of the old swarm is a stranger to the new one, and must leave by itself.
    assert found["Nodes"] == 1
    lab.docker("h2", "swarm", "leave")
    assert info(lab, "h2")["LocalNodeState"] == "inactive"
