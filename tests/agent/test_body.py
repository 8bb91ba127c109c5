from skep.agent.body import task_body
from skep.model.cluster import Task
from skep.model.container import HealthConfig, Ulimit
from skep.model.spec import ContainerSpec, DnsConfig, Limit, Mount, Resources, TaskSpec


def task(spec, **kwargs):
    return Task(
        id="t1", service_id="s1", slot=2, node_id="n1", service_name="web",
        spec=TaskSpec(container_spec=spec, **kwargs),
    )  # fmt: skip


def test_a_plain_task_asks_for_little():
    body = task_body(task(ContainerSpec(image="nginx:latest")))
    assert body["Image"] == "nginx:latest"
    assert body["Labels"]["com.docker.swarm.task.name"] == "web.2.t1"
    assert body["Labels"]["com.docker.swarm.service.id"] == "s1"
    assert body["HostConfig"] == {}
    assert "Cmd" not in body
    assert "Entrypoint" not in body


def test_everything_the_spec_says_is_passed_on():
    spec = ContainerSpec(
        image="busybox", command=("sh",), args=("-c", "true"), env=("A=1",), user="nobody",
        dir="/tmp", hostname="h", tty=True, labels={"l": "1"}, stop_signal="SIGINT",
        mounts=(Mount(type="bind", source="/a", target="/b", read_only=True),),
        hosts=("10.0.0.9 db",), capability_add=("CAP_NET_ADMIN",), sysctls={"net.x": "1"},
        dns_config=DnsConfig(nameservers=("192.0.2.3",)), read_only=True, init=False,
        ulimits=(Ulimit(name="nofile", soft=10, hard=20),),
        healthcheck=HealthConfig(test=("CMD", "true"), interval=5),
    )  # fmt: skip
    limits = Resources(limits=Limit(nano_cpus=500, memory_bytes=64, pids=0))
    body = task_body(task(spec, resources=limits))
    host = body["HostConfig"]
    assert (body["Entrypoint"], body["Cmd"]) == (["sh"], ["-c", "true"])
    assert (body["User"], body["WorkingDir"], body["Hostname"]) == ("nobody", "/tmp", "h")
    assert body["Labels"]["l"] == "1"
    assert host["Mounts"] == [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}]
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]
    assert body["Healthcheck"] == {"Test": ("CMD", "true"), "Interval": 5}
    assert host["ExtraHosts"] == ["db:10.0.0.9"]
    assert (host["NanoCpus"], host["Memory"]) == (500, 64)
    assert host["Dns"] == ["192.0.2.3"]
    assert "PidsLimit" not in host
