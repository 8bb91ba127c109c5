"""What was posted comes back, so that an update changes nothing but what it says."""

import json

import pytest

from skep.api import schema
from skep.api.services import service_spec
from skep.api.shapes import service as shapes
from skep.model.container import ContainerSpec
from skep.model.spec import ServiceSpec, TaskSpec, UpdateConfig

SECOND = 1_000_000_000
CONTAINER = {
    "Image": "busybox:latest",
    "Labels": {"c": "1"},
    "Command": ["sh"],
    "Args": ["-c", "true"],
    "Hostname": "h-{{.Task.Slot}}",
    "Env": ["A=1"],
    "Dir": "/tmp",
    "User": "root",
    "Groups": ["audio"],
    "Privileges": {"NoNewPrivileges": True},
    "Init": False,
    "StopSignal": "SIGTERM",
    "TTY": True,
    "OpenStdin": True,
    "ReadOnly": True,
    "Mounts": [
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True, "Consistency": "cached",
         "BindOptions": {"Propagation": "rslave", "NonRecursive": True, "CreateMountpoint": True,
                         "ReadOnlyNonRecursive": True, "ReadOnlyForceRecursive": True}},
        {"Type": "volume", "Source": "v", "Target": "/v",
         "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}, "Subpath": "s",
                           "DriverConfig": {"Name": "local", "Options": {"o": "x"}}}},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 5, "Mode": 0o1777}},
    ],
    "StopGracePeriod": 0,
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": SECOND, "Timeout": SECOND,
                    "StartPeriod": SECOND, "StartInterval": SECOND, "Retries": 3},
    "Hosts": ["1.2.3.4 a"],
    "DNSConfig": {"Nameservers": ["1.1.1.1"], "Search": ["s"], "Options": ["ndots:1"]},
    "Secrets": [{"File": {"Name": "s", "UID": "0", "GID": "0", "Mode": 0},
                 "SecretID": "i", "SecretName": "n"}],
    "Configs": [{"File": {"Name": "s", "UID": "1", "GID": "2", "Mode": 0o444},
                 "ConfigID": "i", "ConfigName": "n"}],
    "Isolation": "default",
    "Sysctls": {"net.core.somaxconn": "128"},
    "CapabilityAdd": ["CAP_NET_ADMIN"],
    "CapabilityDrop": ["ALL"],
    "Ulimits": [{"Name": "nofile", "Soft": 0, "Hard": 10}],
    "OomScoreAdj": -5,
}  # fmt: skip
TASK = {
    "ContainerSpec": CONTAINER,
    "Resources": {
        "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 1 << 26, "Pids": 5},
        "Reservations": {
            "NanoCPUs": 1_000_000, "MemoryBytes": 1 << 24,
            "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}],
        },
    },
    "RestartPolicy": {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 3, "Window": 5},
    "Placement": {
        "Constraints": ["node.role==manager"],
        "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.a"}}],
        "MaxReplicas": 2,
        "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
    },
    "Networks": [{"Target": "x", "Aliases": ["a"], "DriverOpts": {"k": "v"}}],
    "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
    "ForceUpdate": 2,
    "Runtime": "container",
}  # fmt: skip
UPDATE = {"Parallelism": 0, "Delay": SECOND, "FailureAction": "rollback", "Monitor": 5,
          "MaxFailureRatio": 0.5, "Order": "start-first"}  # fmt: skip
SERVICE = {
    "Name": "full",
    "Labels": {"l": "1"},
    "TaskTemplate": TASK,
    "Mode": {"Replicated": {"Replicas": 0}},
    "UpdateConfig": UPDATE,
    "RollbackConfig": {**UPDATE, "Parallelism": 3, "MaxFailureRatio": 0.0},
    "EndpointSpec": {
        "Mode": "vip",
        "Ports": [{"Name": "http", "Protocol": "udp", "TargetPort": 80, "PublishedPort": 8080,
                   "PublishMode": "host"}],
    },
}  # fmt: skip


def shown(body):
    return shapes.spec(service_spec(schema.without_nulls(body)))


def test_everything_comes_back():
    assert shown(SERVICE) == SERVICE
    assert shown(shown(SERVICE)) == SERVICE


@pytest.mark.parametrize(
    ("kind", "said", "elsewhere"),
    [
        (ContainerSpec, CONTAINER, set()),
        (TaskSpec, TASK, set()),
        (ServiceSpec, SERVICE, {"Networks"}),
        (UpdateConfig, UPDATE, set()),
    ],
)
def test_every_member_is_tested(kind, said, elsewhere):
    assert set(kind.__struct_encode_fields__) - elsewhere == set(said)


JOB = {"ReplicatedJob": {"MaxConcurrent": 0, "TotalCompletions": 2}}


@pytest.mark.parametrize("mode", [{"Global": {}}, {"GlobalJob": {}}, JOB])
def test_modes_come_back(mode):
    assert shown({**SERVICE, "Mode": mode})["Mode"] == mode


def test_go_s_empty_values_are_not_changes():
    """Clients fill structs with nulls and zeros that they were not shown."""
    body = json.loads(json.dumps(SERVICE))
    body["Networks"] = None
    body["TaskTemplate"]["ContainerSpec"] |= {"Mounts": None, "Env": None, "Isolation": ""}
    bare = {**CONTAINER}
    del bare["Mounts"], bare["Env"], bare["Isolation"]
    plain = {**SERVICE, "TaskTemplate": {**TASK, "ContainerSpec": bare}}
    assert service_spec(schema.without_nulls(body)) == service_spec(plain)


async def test_an_update_changes_what_it_says(world):
    """Row 87: everything else that ``service create`` was told stays."""
    await world.swarm()
    await world.docker("network", "create", "-d", "overlay", "net")
    await world.docker(
        "service", "create", "--detach", "--name", "full", "--replicas", "1",
        "--constraint", "node.role==manager", "--env", "A=1", "--label", "l=1",
        "--container-label", "c=1", "--limit-memory", "64m", "--limit-cpu", "0.5",
        "--reserve-memory", "16m", "--mount", "type=volume,source=v1,target=/v",
        "--hostname", "h", "--dns", "1.1.1.1", "--host", "a:1.2.3.4", "--cap-add", "NET_ADMIN",
        "--restart-condition", "on-failure", "--restart-max-attempts", "3",
        "--update-delay", "1s", "--update-parallelism", "1", "--update-order", "start-first",
        "--rollback-parallelism", "1", "--health-cmd", "true", "--health-interval", "5s",
        "--init", "--tty", "--read-only", "--stop-signal", "SIGTERM", "--stop-grace-period", "1s",
        "--sysctl", "net.core.somaxconn=128", "--ulimit", "nofile=10:20", "--user", "root",
        "--workdir", "/tmp", "--network", "name=net,alias=al", "--log-driver", "json-file",
        "--log-opt", "max-size=1m", "--placement-pref", "spread=node.labels.z",
        "busybox", "sleep", "infinity",
    )  # fmt: skip

    async def spec():
        return json.loads(await world.docker("service", "inspect", "full"))[0]["Spec"]

    before = await spec()
    await world.docker("service", "update", "--detach", "--env-add", "B=2", "full")
    after = await spec()
    assert sorted(after["TaskTemplate"]["ContainerSpec"].pop("Env")) == ["A=1", "B=2"]
    assert before["TaskTemplate"]["ContainerSpec"].pop("Env") == ["A=1"]
    assert after == before
    await world.docker("service", "update", "--detach", "--label-rm", "l", "full")
    assert (await spec())["Labels"] == {}
    await world.docker("service", "rollback", "--detach", "full")
    assert (await spec())["Labels"] == {"l": "1"}
