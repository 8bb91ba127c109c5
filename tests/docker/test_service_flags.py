"""Every flag of ``docker service create`` and ``update`` that shapes a container, seen from inside.

All services of a table are made at once, then looked into one by one.
"""

import json
import os
import shlex

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

FOREVER = ("busybox", "sleep", "600")

ROWS = {
    "env": ("-e A=1 -e B=two -e TASK={{.Task.Name}}", "echo $A $B $TASK", "1 two env.1."),
    "entrypoint": ("--entrypoint 'sleep 601'", "tr '\\0' ' ' < /proc/1/cmdline", "sleep 601"),
    "workdir": ("--workdir /tmp", "readlink /proc/1/cwd", "/tmp"),
    "user": ("--user 12:34", "grep -E 'Uid|Gid' /proc/1/status | tr '\\n\\t' '  '",
             "Uid: 12 12 12 12 Gid: 34 34 34 34"),
    "group": ("--group 55 --group 66", "grep Groups /proc/1/status", "55 66"),
    "hostname": ("--hostname {{.Node.Hostname}}-{{.Task.Slot}}", "hostname", "h1-1"),
    "host": ("--host db:10.1.2.3 --host six:10.9.9.9", "grep -E 'db|six' /etc/hosts",
             "10.1.2.3 db 10.9.9.9 six"),
    "dns": ("--dns 192.168.90.1 --dns-search a.example --dns-option timeout:3",
            "cat /etc/resolv.conf",
            "nameserver 127.0.0.11 search a.example options timeout:3 ndots:0"),
    "ndots": ("--dns-option ndots:2", "cat /etc/resolv.conf", "options ndots:2"),
    "tmpfs": ("--mount type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=0700",
              "stat -c %a /scratch; df -k /scratch | tail -1", "700 tmpfs 1024 0 1024"),
    "bind": ("--mount type=bind,src=/etc/hosts,dst=/host-hosts,readonly",
             "head -c 9 /host-hosts; echo; echo x > /host-hosts || echo kept", "127.0.0.1 kept"),
    "volume": ("--mount type=volume,src=data-{{.Task.Slot}},dst=/data,volume-label=a=b",
               "echo hi > /data/x; cat /data/x", "hi"),
    "read-only": ("--read-only --mount type=tmpfs,dst=/w",
                  "echo x > /x || echo kept; echo y > /w/y", "kept"),
    "cap-add": ("--cap-add NET_ADMIN", "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu",
                "1400"),
    "cap-drop": ("--cap-drop CHOWN", "touch /tmp/x; chown 1 /tmp/x || echo refused", "refused"),
    # Not by "ulimit": runc's own Go runtime may raise the soft limit of what is executed later.
    "ulimit": ("--ulimit nofile=50:60", "grep files /proc/1/limits", "50 60"),
    "sysctl": ("--sysctl net.ipv4.ip_default_ttl=33", "cat /proc/sys/net/ipv4/ip_default_ttl",
               "33"),
    "init": ("--init", "cat /proc/1/comm", "init"),
    "tty": ("--tty", "readlink /proc/1/fd/1", "/dev/"),
    "limit-memory": ("--limit-memory 32m --reserve-memory 16m",
                     "cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
                     "/sys/fs/cgroup/memory.max 2>/dev/null", "33554432"),
    "limit-cpu": ("--limit-cpu 0.5 --reserve-cpu 0.1",
                  "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null",
                  "50000"),
    "limit-pids": ("--limit-pids 20",
                   "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null", "20"),
    "oom-score-adj": ("--oom-score-adj 300", "cat /proc/1/oom_score_adj", "300"),
    "alias": ("--network name=net,alias=other --endpoint-mode dnsrr",
              # It has the name when its host has heard that it runs.
              "until nslookup other 127.0.0.11 | grep -c 10.77.0.; do sleep 1; done", "1"),
    "secret": ("--secret source=pass,target=/deep/p,uid=7,gid=8,mode=0440",
               "cat /deep/p; stat -c ' %u %g %a' /deep/p", "sesame 7 8 440"),
    "config": ("--config source=conf,target=/etc/my.conf,mode=0404",
               "cat /etc/my.conf; stat -c ' %a' /etc/my.conf", "setting 404"),
    "templates": ("-e T={{.Service.Name}}/{{.Service.Labels.color}}/{{.Task.Slot}} -l color=red",
                  "echo $T", "templates/red/1"),
    "generic": ("--generic-resource gpu=1", "env", "DOCKER_RESOURCE_GPU=GPU-7"),
}  # fmt: skip
"""Name: the flags, a command in the container, words that it prints, in this order."""

FACTS = {
    "container-label": ("--container-label a=b", ("Config", "Labels", "a"), "b"),
    "stop-signal": ("--stop-signal SIGUSR1", ("Config", "StopSignal"), "SIGUSR1"),
    "log": ("--log-driver json-file --log-opt max-size=1m", ("HostConfig", "LogConfig", "Type"),
            "json-file"),
    "health": ("--health-cmd true --health-interval 2s --health-retries 4 --health-timeout 1s "
               "--health-start-period 3s", ("Config", "Healthcheck"),
               {"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000, "Retries": 4,
                "Timeout": 1_000_000_000, "StartPeriod": 3_000_000_000}),
    "no-healthcheck": ("--no-healthcheck", ("Config", "Healthcheck", "Test"), ["NONE"]),
}  # fmt: skip
"""Name: the flags, a path in ``docker inspect`` of the container, what is there."""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"flags{os.getpid()}", 2, "--node-generic-resource=gpu=GPU-7") as lab:
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--subnet", "10.77.0.0/24", "net")
        lab.docker("h1", "secret", "create", "pass", "-", stdin="sesame")
        lab.docker("h1", "config", "create", "conf", "-", stdin="setting")
        for name, (flags, *_) in (ROWS | FACTS).items():
            create(lab, name, *split(flags))
        yield lab


def split(flags):
    """Flags as a shell would split them, but for quotes in the middle."""
    return shlex.split(flags)


def create(lab, name, *flags):
    image = ("busybox",) if "--entrypoint" in flags else FOREVER
    lab.docker(
        "h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", name,
        "--constraint", "node.role==manager", "--stop-grace-period", "0s", *flags, *image,
    )  # fmt: skip


def container(lab, name):
    """The service's running container on h1."""
    form = ("--filter", f"label=com.docker.swarm.service.name={name}", "--format", "{{.ID}}")
    why = ("service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", name)

    def only():
        # Another one may still be on its way out.
        found = lab.docker("h1", "ps", *form).split()
        return len(found) == 1 and found[0]

    try:
        # All services are made at once.
        return until(only, 240)
    except AssertionError:
        raise AssertionError(lab.docker("h1", *why)) from None


def inside(lab, name, command):
    done = lab.tried("h1", "exec", container(lab, name), "sh", "-c", command)
    return " ".join(done[1].split())


@pytest.mark.parametrize("name", ROWS)
def test_from_inside(lab, name):
    _, command, words = ROWS[name]
    assert words in inside(lab, name, command)


@pytest.mark.parametrize("name", FACTS)
def test_as_inspected(lab, name):
    _, path, expected = FACTS[name]
    found = json.loads(lab.docker("h1", "inspect", container(lab, name)))[0]
    for part in path:
        found = found[part]
    assert found == expected


BEFORE = """
    -e A=1 -e KEEP=me --container-label a=b -l c=d --constraint node.labels.x!=y --dns 192.168.90.1
    --dns-search a.example --dns-option timeout:3 --group 55 --host db:10.1.2.3 --cap-drop CHOWN
    --mount type=tmpfs,dst=/scratch --network net --publish 8081:80 --secret pass --config conf
    --sysctl net.ipv4.ip_default_ttl=33 --ulimit nofile=50:60 --generic-resource gpu=1
    --placement-pref spread=node.labels.rack --read-only --hostname one --limit-pids 20
"""

REMOVE = """
    --env-rm A --container-label-rm a --label-rm c --constraint-rm node.labels.x!=y
    --dns-rm 192.168.90.1 --dns-search-rm a.example --dns-option-rm timeout:3 --group-rm 55
    --host-rm db:10.1.2.3 --cap-add CHOWN --mount-rm /scratch --network-rm net --publish-rm 80
    --secret-rm pass --config-rm conf --sysctl-rm net.ipv4.ip_default_ttl --ulimit-rm nofile
    --generic-resource-rm gpu --placement-pref-rm spread=node.labels.rack --read-only=false
    --hostname= --limit-pids 0
"""

ADD = """
    --env-add B=2 --container-label-add e=f --label-add g=h --constraint-add node.labels.z!=y
    --dns-add 192.168.90.2 --dns-search-add b.example --dns-option-add attempts:1 --group-add 66
    --host-add web:10.3.2.1 --cap-drop KILL --mount-add type=tmpfs,dst=/other --network-add net
    --publish-add published=8082,target=90 --secret-add source=pass,target=word
    --config-add source=conf,target=/c --sysctl-add net.ipv4.ip_default_ttl=44
    --ulimit-add nofile=70:80 --generic-resource-add gpu=1
    --placement-pref-add spread=node.labels.room --workdir /tmp --user 12 --tty --init
    --stop-signal SIGUSR2 --stop-grace-period 1s --health-cmd true --health-interval 1s
    --limit-cpu 0.5 --limit-memory 40m --reserve-cpu 0.1 --reserve-memory 20m --oom-score-adj 5
    --log-driver json-file --restart-condition on-failure --restart-delay 1s
    --restart-max-attempts 4 --restart-window 9s --update-parallelism 3 --update-delay 1ms
    --update-monitor 1s --update-failure-action continue --update-max-failure-ratio 0.5
    --update-order start-first --rollback-parallelism 2 --rollback-delay 2ms --rollback-monitor 2s
    --rollback-failure-action continue --rollback-max-failure-ratio 0.25
    --rollback-order start-first --replicas-max-per-node 2 --endpoint-mode vip --replicas 1
"""


class TestUpdating:
    """One service that has something of everything, loses it, and gets something else of it."""

    @pytest.fixture(scope="class")
    def shown(self, lab):
        def spec():
            return json.loads(lab.docker("h1", "service", "inspect", "upd"))[0]["Spec"]

        def update(flags):
            lab.docker("h1", "service", "update", "-q", "--no-resolve-image", *split(flags), "upd")
            return spec()

        lab.docker("h1", "service", "rm", "generic")
        create(lab, "upd", *split(BEFORE))
        until(lambda: lab.running("upd", 1), 60)
        before = spec()
        return before, update(REMOVE), update(ADD)

    def test_what_there_was_can_be_removed(self, shown):
        before, removed, _ = shown
        template, had = removed["TaskTemplate"], before["TaskTemplate"]
        container, contained = template["ContainerSpec"], had["ContainerSpec"]
        for gone in ("Groups", "Hosts", "Mounts", "Secrets", "Configs", "Sysctls", "Ulimits",
                     "ReadOnly", "Hostname", "Labels"):  # fmt: skip
            assert contained.get(gone), gone
            assert not container.get(gone), gone
        assert container["Env"] == ["KEEP=me"]
        assert not any(container.get("DNSConfig", {}).values())
        assert container.get("CapabilityDrop", []) == []
        assert before["Labels"] == {"c": "d"}
        assert removed["Labels"] == {}
        assert template["Placement"]["Constraints"] == ["node.role==manager"]
        assert had["Placement"]["Preferences"]
        assert not template["Placement"].get("Preferences")
        assert had["Networks"]
        assert not template.get("Networks")
        assert before["EndpointSpec"]["Ports"]
        assert not removed["EndpointSpec"].get("Ports")
        assert had["Resources"]["Limits"]["Pids"] == 20
        assert not template["Resources"].get("Limits", {}).get("Pids")
        assert not template["Resources"].get("Reservations", {}).get("GenericResources")

    def test_and_everything_can_be_added(self, shown):
        template = shown[2]["TaskTemplate"]
        container = template["ContainerSpec"]
        assert sorted(container["Env"]) == ["B=2", "KEEP=me"]
        assert container["Labels"] == {"e": "f"}
        assert container["DNSConfig"] == {
            "Nameservers": ["192.168.90.2"], "Search": ["b.example"], "Options": ["attempts:1"],
        }  # fmt: skip
        assert container["StopGracePeriod"] == 10**9
        assert shown[2]["Labels"] == {"g": "h"}
        assert template["RestartPolicy"] == {
            "Condition": "on-failure", "Delay": 10**9, "MaxAttempts": 4, "Window": 9 * 10**9,
        }  # fmt: skip
        assert shown[2]["UpdateConfig"] == {
            "Parallelism": 3, "Delay": 10**6, "Monitor": 10**9, "FailureAction": "continue",
            "MaxFailureRatio": 0.5, "Order": "start-first",
        }  # fmt: skip
        assert shown[2]["RollbackConfig"] == {
            "Parallelism": 2, "Delay": 2 * 10**6, "Monitor": 2 * 10**9,
            "FailureAction": "continue", "MaxFailureRatio": 0.25, "Order": "start-first",
        }  # fmt: skip
        assert template["Placement"]["MaxReplicas"] == 2
        assert template["Placement"]["Preferences"] == [
            {"Spread": {"SpreadDescriptor": "node.labels.room"}}
        ]
        ports = [(p["PublishedPort"], p["TargetPort"]) for p in shown[2]["EndpointSpec"]["Ports"]]
        assert ports == [(8082, 90)]

    def test_and_the_container_is_so(self, lab, shown):
        assert shown
        container(lab, "upd")
        seen = inside(
            lab, "upd",
            "echo $A $B $KEEP; cat /etc/resolv.conf; grep -c tmpfs.*/other /proc/mounts; "
            "grep web /etc/hosts; cat /run/secrets/word /c; readlink /proc/1/cwd; "
            "cat /proc/sys/net/ipv4/ip_default_ttl; cat /proc/1/oom_score_adj; id -u; "
            "echo $DOCKER_RESOURCE_GPU",
        )  # fmt: skip
        assert seen == (
            "2 me nameserver 127.0.0.11 search b.example options attempts:1 ndots:0 1 "
            "10.3.2.1 web sesamesetting/tmp 44 5 12 GPU-7"
        )

    def test_a_rollback_brings_back_what_was_before(self, lab, shown):
        lab.docker("h1", "service", "rollback", "-q", "upd")
        again = json.loads(lab.docker("h1", "service", "inspect", "upd"))[0]["Spec"]
        assert again == shown[1]
        code, _, said = lab.tried("h1", "service", "rollback", "-q", "env")
        assert code == 1
        assert "does not have a previous spec" in said
