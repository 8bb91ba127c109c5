"""The swarm, its nodes, services and tasks."""

import json

import pytest
from api_host import NODE1
from api_world import CA, TOKENS

from skep.api.joining import (
    InitBody,
    JoinBody,
    SwarmSpec,
    init_request,
    join_request,
    refuse_unsupported,
    remote,
)
from skep.api.schema import decode
from skep.model.errors import Broken, Invalid, Unsupported

SERVICE = {
    "Name": "web",
    "Labels": {"com.docker.stack.namespace": "st"},
    "TaskTemplate": {"ContainerSpec": {"Image": "nginx:latest"}},
    "Mode": {"Replicated": {"Replicas": 2}},
    "EndpointSpec": {
        "Mode": "vip",
        "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress"}
        ],
    },
}


async def get(client, path, **filters):
    text = json.dumps(filters)
    mark = "&" if "?" in path else "?"
    async with client.get(f"{path}{mark}filters={text}" if filters else path) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def post(client, path, body=None):
    async with client.post(path, json=body) as reply:
        assert reply.status in (200, 201), await reply.text()
        return await reply.json() if reply.content_length else None


async def test_init_answers_the_nodes_id(world, client):
    body = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "192.168.90.11", "SubnetSize": 24}
    assert await post(client, "/swarm/init", body) == NODE1
    (request,) = world.cluster.requests
    assert (request.advertise_address, request.subnet_size) == ("192.168.90.11", 24)
    swarm = await get(client, "/swarm")
    assert swarm["JoinTokens"] == {"Worker": TOKENS.worker, "Manager": TOKENS.manager}
    assert swarm["TLSInfo"]["TrustRoot"] == CA
    assert swarm["TLSInfo"]["CertIssuerSubject"]
    assert swarm["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 5}
    assert swarm["Spec"]["Dispatcher"] == {"HeartbeatPeriod": 5_000_000_000}
    assert swarm["Spec"]["CAConfig"] == {"NodeCertExpiry": 7776000000000000}
    assert swarm["RootRotationInProgress"] is False
    assert (await get(client, "/swarm/unlockkey")) == {"UnlockKey": ""}


async def test_update_takes_back_what_it_showed(world, client):
    await world.swarm()
    swarm = await get(client, "/swarm")
    spec = {**swarm["Spec"], "Orchestration": {"TaskHistoryRetentionLimit": 3}}
    query = f"version={swarm['Version']['Index']}&rotateWorkerToken=true"
    await post(client, f"/swarm/update?{query}", spec)
    cluster = world.cluster.state().cluster
    assert (cluster.task_history, cluster.heartbeat, cluster.certificate_days) == (3, 5.0, 90)
    assert cluster.tokens.worker != "w"
    assert cluster.tokens.manager == "m"


def test_init_request_with_everything():
    body = {
        "ListenAddr": "10.0.0.1",
        "AdvertiseAddr": "10.0.0.1:2400",
        "DataPathAddr": "10.9.0.1",
        "DataPathPort": 5000,
        "DefaultAddrPool": ["10.20.0.0/16"],
        "SubnetSize": 26,
        "Availability": "drain",
        "Spec": {
            "Orchestration": {"TaskHistoryRetentionLimit": 0},
            "Dispatcher": {"HeartbeatPeriod": 2_000_000_000},
            "CAConfig": {"NodeCertExpiry": 86_400_000_000_000 * 3},
            "EncryptionConfig": {"AutoLockManagers": False},
        },
    }
    request = init_request(decode(body, InitBody))
    assert request.listen_address == "10.0.0.1:2377"
    assert request.advertise_address == "10.0.0.1:2400"
    assert (request.data_path_address, request.data_path_port) == ("10.9.0.1", 5000)
    assert (request.address_pools, request.subnet_size) == (("10.20.0.0/16",), 26)
    assert (request.task_history, request.heartbeat, request.certificate_days) == (0, 2.0, 3)
    assert request.availability == "drain"


@pytest.mark.parametrize(
    ("body", "refusal", "sentence"),
    [
        ({"AutoLockManagers": True}, Unsupported, "--autolock"),
        ({"DataPathPort": 80}, Invalid, "not in valid range"),
        ({"SubnetSize": 31}, Invalid, "invalid subnet size 31"),
        ({"AdvertiseAddr": "a name too long"}, Invalid, "the name of a network interface"),
        ({"DataPathAddr": "10.0.0.256"}, Invalid, "DataPathAddr must be an IP address"),
        ({"AdvertiseAddr": "fe80::1"}, Invalid, "something else on every link"),
        ({"AdvertiseAddr": "fd00::zz"}, Invalid, "fd00::zz is no IPv6 address"),
        ({"AdvertiseAddr": "[fd00::1]:x"}, Invalid, "invalid port"),
        ({"ListenAddr": "1.2.3.4:x"}, Invalid, "invalid port"),
        ({"DefaultAddrPool": ["10.0.0.0"] * 0 + ["ten"]}, Invalid, "address pool"),
        ({"Availability": "lazy"}, Invalid, "invalid Availability"),
        ({"Spec": {"CAConfig": {"NodeCertExpiry": 5}}}, Invalid, "1h0m0s"),
        ({"Spec": {"CAConfig": {"ExternalCAs": [{"URL": "x"}]}}}, Unsupported, "external CAs"),
        ({"Spec": {"Raft": {"SnapshotInterval": 5}}}, Unsupported, "has no Raft"),
        ({"Spec": {"Name": "other"}}, Invalid, "modification of cluster name"),
    ],
)
def test_init_refusals(body, refusal, sentence):
    with pytest.raises(refusal, match=sentence):
        init_request(decode(body, InitBody))


def test_addresses_of_ipv6():
    body = {"ListenAddr": "[::]:2400", "AdvertiseAddr": "fd00:0::1", "DataPathAddr": "[fd00::2]"}
    request = init_request(decode(body, InitBody))
    assert request.listen_address == "[::]:2400"
    assert (request.advertise_address, request.data_path_address) == ("[fd00::1]", "[fd00::2]")
    assert init_request(decode({"ListenAddr": "fd00::1"}, InitBody)).listen_address == (
        "[fd00::1]:2377"
    )
    token = "SWMTKN-1-" + "0" * 50 + "-" + "0" * 25
    for text in ("fd00::9", "[fd00::9]", "[fd00::9]:2377"):
        body = {"RemoteAddrs": [text], "JoinToken": token}
        assert join_request(decode(body, JoinBody)).remotes == ("[fd00::9]:2377",)


def test_interfaces_may_be_named():
    body = {"ListenAddr": "eth0:2377", "AdvertiseAddr": "br-x.50:2400", "DataPathAddr": "eth1"}
    request = init_request(decode(body, InitBody))
    assert request.listen_address == "eth0:2377"
    assert (request.advertise_address, request.data_path_address) == ("br-x.50:2400", "eth1")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("10.0.0.1", "10.0.0.1:2377"),
        ("manager.example.com", "manager.example.com:2377"),
        ("manager:2400", "manager:2400"),
    ],
)
def test_managers_may_be_named(said, meant):
    assert remote(said) == meant


@pytest.mark.parametrize("said", ["10.0.0", "manager:x", "-x", "a b"])
def test_what_is_no_manager(said):
    with pytest.raises(Invalid):
        remote(said)


def test_join_request():
    token = f"SWMTKN-1-{'d' * 50}-{'w' * 25}"
    body = {"RemoteAddrs": ["10.0.0.1"], "JoinToken": token, "Availability": ""}
    request = join_request(decode(body, JoinBody))
    assert request.remotes == ("10.0.0.1:2377",)
    assert request.availability == "active"
    with pytest.raises(Broken, match=r"^invalid join token$"):
        join_request(decode({**body, "JoinToken": token[:-1]}, JoinBody))


def test_locking_and_rotating_the_ca_are_refused():
    for spec in (
        {"EncryptionConfig": {"AutoLockManagers": True}},
        {"CAConfig": {"ForceRotate": 1}},
    ):
        with pytest.raises(Unsupported):
            refuse_unsupported(decode(spec, SwarmSpec))


async def test_nodes(world, client):
    await world.swarm()
    await world.cluster.add_worker()
    node = await get(client, "/nodes/node1")
    assert node == await get(client, "/nodes/self")
    assert node["ManagerStatus"] == {
        "Leader": True,
        "Reachability": "reachable",
        "Addr": "192.168.90.11:2377",
    }
    assert node["Status"] == {"State": "ready", "Addr": "192.168.90.11"}
    assert node["Description"]["TLSInfo"]["TrustRoot"] == CA
    assert "ManagerStatus" not in await get(client, "/nodes/node2")
    version = (await get(client, "/nodes/node2"))["Version"]["Index"]
    spec = {"Labels": {"zone": "a"}, "Role": "worker", "Availability": "drain"}
    async with client.post(f"/nodes/node2/update?version={version}", json=spec) as reply:
        assert reply.status == 200
    for filters, names in (
        ({"role": ["worker"]}, ["node2"]),
        ({"name": ["node"]}, ["node1", "node2"]),
        ({"node.label": ["zone=a"]}, ["node2"]),
        ({"label": ["zone=a"]}, []),
        ({"membership": ["pending"]}, []),
        ({"id": ["node1"]}, ["node1"]),
    ):
        found = await get(client, "/nodes", **filters)
        assert sorted(n["Description"]["Hostname"] for n in found) == names, filters
    info = await get(client, "/info")
    assert (info["Swarm"]["Nodes"], info["Swarm"]["Managers"]) == (2, 1)
    assert info["Swarm"]["NodeID"] == NODE1
    assert info["Swarm"]["ControlAvailable"] is True
    assert info["Swarm"]["RemoteManagers"] == [{"NodeID": NODE1, "Addr": "192.168.90.11:2377"}]


async def test_service(world, client):
    await world.swarm()
    made = await post(client, "/services/create", SERVICE)
    assert made["Warnings"] is None
    shown = await get(client, f"/services/{made['ID']}?insertDefaults=false")
    assert shown["Spec"]["Mode"] == {"Replicated": {"Replicas": 2}}
    assert shown["Spec"]["TaskTemplate"] == {
        "ContainerSpec": {"Image": "nginx:latest", "Isolation": "default"},
        "ForceUpdate": 0,
        "Runtime": "container",
    }
    assert shown["Spec"]["EndpointSpec"] == SERVICE["EndpointSpec"]
    endpoint = shown["Endpoint"]
    assert endpoint["Ports"] == SERVICE["EndpointSpec"]["Ports"]
    ingress = world.cluster.state().ingress.id
    (vip,) = endpoint["VirtualIPs"]
    assert vip["NetworkID"] == ingress
    assert vip["Addr"].startswith("10.0.0.")
    assert vip["Addr"].endswith("/24")
    assert "PreviousSpec" not in shown


async def test_defaults(world, client):
    await world.swarm()
    await post(client, "/services/create", {**SERVICE, "Mode": {}, "UpdateConfig": {"Delay": 5}})
    spec = (await get(client, "/services/web?insertDefaults=true"))["Spec"]
    assert spec["Mode"] == {"Replicated": {"Replicas": 1}}
    task = spec["TaskTemplate"]
    assert task["ContainerSpec"]["StopGracePeriod"] == 10_000_000_000
    assert task["ContainerSpec"]["DNSConfig"] == {}
    assert task["Resources"] == {"Limits": {}, "Reservations": {}}
    assert task["RestartPolicy"] == {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0}
    assert task["Placement"] == {}
    assert spec["UpdateConfig"] == {
        "Parallelism": 0,
        "Delay": 5,
        "FailureAction": "pause",
        "Monitor": 5_000_000_000,
        "MaxFailureRatio": 0.0,
        "Order": "stop-first",
    }
    assert spec["RollbackConfig"]["Parallelism"] == 1


async def test_scaling_and_rolling_back(world, client):
    await world.swarm()
    await post(client, "/services/create", SERVICE)
    shown = await get(client, "/services/web")
    before = {task["ID"] for task in await get(client, "/tasks")}
    spec = {**shown["Spec"], "Mode": {"Replicated": {"Replicas": 3}}}
    await post(client, f"/services/web/update?version={shown['Version']['Index']}", spec)
    tasks = await get(client, "/tasks")
    assert before < {task["ID"] for task in tasks}, "scaling replaces no task"
    assert len(tasks) == 3
    assert world.cluster.state().find_service("web").spec_version == 1
    shown = await get(client, "/services/web")
    assert shown["PreviousSpec"]["Mode"] == {"Replicated": {"Replicas": 2}}
    query = f"version={shown['Version']['Index']}&rollback=previous"
    await post(client, f"/services/web/update?{query}", shown["Spec"])
    assert (await get(client, "/services/web"))["Spec"]["Mode"] == {"Replicated": {"Replicas": 2}}


async def test_list_with_status(world, client):
    await world.swarm()
    await post(client, "/services/create", SERVICE)
    (shown,) = await get(client, "/services?status=true")
    assert shown["ServiceStatus"] == {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}
    assert "ServiceStatus" not in (await get(client, "/services"))[0]
    for filters, count in (
        ({"name": ["we"]}, 1),
        ({"name": ["eb"]}, 0),
        ({"mode": ["global"]}, 0),
        ({"label": ["com.docker.stack.namespace=st"]}, 1),
        ({"label": ["com.docker.stack.namespace"]}, 1),
        ({"runtime": ["container"]}, 1),
        ({"id": [shown["ID"]]}, 1),
    ):
        assert len(await get(client, "/services", **filters)) == count, filters


async def test_tasks(world, client):
    await world.swarm()
    made = await post(client, "/services/create", SERVICE)
    for filters, count in (
        ({"service": ["web"]}, 2),
        ({"service": [made["ID"]], "node": ["self"]}, 2),
        ({"node": ["node1"]}, 2),
        ({"desired-state": ["running"]}, 2),
        ({"desired-state": ["shutdown"]}, 0),
        ({"_up-to-date": ["true"], "service": ["web"]}, 2),
        ({"name": ["web.1"]}, 1),
        ({"label": ["com.docker.stack.namespace=st"]}, 2),
        ({"runtime": ["plugin"]}, 0),
    ):
        assert len(await get(client, "/tasks", **filters)) == count, filters
    (task, _) = sorted(await get(client, "/tasks"), key=lambda task: task["Slot"])
    assert task == await get(client, f"/tasks/{task['ID']}")
    assert (task["Slot"], task["NodeID"], task["ServiceID"]) == (1, NODE1, made["ID"])
    assert (task["DesiredState"], task["Status"]["State"]) == ("running", "running")
    assert task["Status"]["ContainerStatus"]["PID"] == 7
    assert task["Spec"]["ContainerSpec"]["Image"] == "nginx:latest"
    (attachment,) = task["NetworksAttachments"]
    assert attachment["Network"]["Spec"]["Name"] == "ingress"
    assert attachment["Addresses"][0].endswith("/24")


async def test_dead_tasks_are_not_up_to_date_after_an_update(world, client):
    await world.swarm()
    await post(client, "/services/create", SERVICE)
    shown = await get(client, "/services/web")
    spec = {**shown["Spec"]}
    spec["TaskTemplate"] = {**spec["TaskTemplate"], "ForceUpdate": 1}
    await post(client, f"/services/web/update?version={shown['Version']['Index']}", spec)
    current = await get(client, "/tasks", service=["web"], **{"_up-to-date": ["true"]})
    every = await get(client, "/tasks", service=["web"])
    assert 0 < len(current) < len(every)
