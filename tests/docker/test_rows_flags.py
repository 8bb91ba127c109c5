"""Every flag of ``docker create`` and ``docker run``: its effect inside, and what inspect shows.

Flags that go together are given to one container; the others have one each. A row names its flag,
and a test reads the client's own list of flags: none is left out.
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        Path("/sys/fs/cgroup/cgroup.controllers").exists(),
        reason="limits are read where control groups version 1 have them",
    ),
]

PROFILE = """{"defaultAction": "SCMP_ACT_ALLOW",
 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"""


class Row(NamedTuple):
    """A flag as it is written; a command inside (on the host, after "host: ") and what it says;
    where inspect has it, and as what."""

    flag: str
    command: str = "true"
    says: str = ""
    path: str = ""
    shown: object = None


GROUPS = "/sys/fs/cgroup"

TOGETHER = [
    Row("--add-host a.test:1.2.3.4", "cat /etc/hosts", r"^1\.2\.3\.4\ta\.test$",
        "HostConfig.ExtraHosts", ["a.test:1.2.3.4"]),
    Row("--annotation org.test=v",
        "host: grep -o '\"org.test\":\"v\"' {state}/overlay-containers/{id}/userdata/config.json",
        '^"org.test":"v"$', "HostConfig.Annotations", {"org.test": "v"}),
    Row("--blkio-weight 300", f"cat {GROUPS}/blkio/blkio.bfq.weight", "^300$",
        "HostConfig.BlkioWeight", 300),
    Row("--cap-add NET_ADMIN", "ip link set eth0 mtu 1400", "^$",
        "HostConfig.CapAdd", ["CAP_NET_ADMIN"]),
    Row("--cap-drop CHOWN", "sh -c 'chown 1 /tmp 2>&1 || true'", "not permitted",
        "HostConfig.CapDrop", ["CAP_CHOWN"]),
    Row("--cgroup-parent /own", "cat /proc/1/cgroup", "memory:/own/",
        "HostConfig.CgroupParent", "/own"),
    Row("--cpu-period 50000", f"cat {GROUPS}/cpu/cpu.cfs_period_us", "^50000$",
        "HostConfig.CpuPeriod", 50000),
    Row("--cpu-quota 25000", f"cat {GROUPS}/cpu/cpu.cfs_quota_us", "^25000$",
        "HostConfig.CpuQuota", 25000),
    Row("--cpu-shares 512", f"cat {GROUPS}/cpu/cpu.shares", "^512$", "HostConfig.CpuShares", 512),
    Row("--cpuset-cpus 0", "grep Cpus_allowed_list /proc/1/status", r"\t0$",
        "HostConfig.CpusetCpus", "0"),
    Row("--cpuset-mems 0", f"cat {GROUPS}/cpuset/cpuset.mems", "^0$",
        "HostConfig.CpusetMems", "0"),
    Row("--device /dev/kmsg:/dev/own:r", "sh -c '(echo x >/dev/own) 2>&1 || test -c /dev/own'",
        "not permitted", "HostConfig.Devices.0.PathInContainer", "/dev/own"),
    Row("--device-cgroup-rule 'c 7:9 r'", f"cat {GROUPS}/devices/devices.list", "^c 7:9 r$",
        "HostConfig.DeviceCgroupRules", ["c 7:9 r"]),
    Row("--device-read-bps {disk}:1mb", f"cat {GROUPS}/blkio/blkio.throttle.read_bps_device",
        " 1048576$", "HostConfig.BlkioDeviceReadBps.0.Rate", 1048576),
    Row("--device-read-iops {disk}:101", f"cat {GROUPS}/blkio/blkio.throttle.read_iops_device",
        " 101$", "HostConfig.BlkioDeviceReadIOps.0.Rate", 101),
    Row("--device-write-bps {disk}:2mb", f"cat {GROUPS}/blkio/blkio.throttle.write_bps_device",
        " 2097152$", "HostConfig.BlkioDeviceWriteBps.0.Rate", 2097152),
    Row("--device-write-iops {disk}:102", f"cat {GROUPS}/blkio/blkio.throttle.write_iops_device",
        " 102$", "HostConfig.BlkioDeviceWriteIOps.0.Rate", 102),
    Row("--dns 10.9.9.9", "cat /etc/resolv.conf", r"^nameserver 127\.0\.0\.11$",
        "HostConfig.Dns", ["10.9.9.9"]),
    Row("--dns-option ndots:3", "cat /etc/resolv.conf", "^options ndots:3$",
        "HostConfig.DnsOptions", ["ndots:3"]),
    Row("--dns-search x.test", "cat /etc/resolv.conf", "^search x.test$",
        "HostConfig.DnsSearch", ["x.test"]),
    Row("--domainname dom.test", "sh -c 'cat /proc/sys/kernel/domainname /etc/hosts'",
        r"\Adom\.test\n(.*\n)*\S+\tboxed\.dom\.test boxed$", "Config.Domainname", "dom.test"),
    Row("--hostname boxed", "hostname", "^boxed$", "Config.Hostname", "boxed"),
    Row("--env SAID=1", "env", "^SAID=1$"),
    Row("--env-file {files}/env", "env", "^READ=two words$"),
    Row("--expose 81-82/udp", path="Config.ExposedPorts",
        shown={"80/tcp": {}, "81/udp": {}, "82/udp": {}}),
    Row("--group-add 1234", "id", r"groups=.*\b1234\b", "HostConfig.GroupAdd", ["1234"]),
    Row("--health-cmd 'test -e /well'", path="Config.Healthcheck.Test",
        shown=["CMD-SHELL", "test -e /well"]),
    Row("--health-interval 1h", path="Config.Healthcheck.Interval", shown=3600 * 10**9),
    Row("--health-retries 2", path="Config.Healthcheck.Retries", shown=2),
    Row("--health-start-interval 200ms", path="Config.Healthcheck.StartInterval",
        shown=200 * 10**6),
    Row("--health-start-period 1h", path="Config.Healthcheck.StartPeriod", shown=3600 * 10**9),
    Row("--health-timeout 7s", path="Config.Healthcheck.Timeout", shown=7 * 10**9),
    Row("--init", "cat /proc/1/cmdline", "init", "HostConfig.Init", True),
    Row("--interactive", path="Config.OpenStdin", shown=True),
    Row("--ip 10.88.0.77", "ip -4 addr show eth0", r"inet 10\.88\.0\.77/24",
        "NetworkSettings.Networks.flagged.IPAMConfig.IPv4Address", "10.88.0.77"),
    Row("--ip6 fd88::77", "ip -6 addr show eth0", "inet6 fd88::77/64",
        "NetworkSettings.Networks.flagged.IPAMConfig.IPv6Address", "fd88::77"),
    Row("--ipc shareable", "readlink /proc/1/ns/ipc", "^ipc:", "HostConfig.IpcMode", "shareable"),
    Row("--label said=l", path="Config.Labels.said", shown="l"),
    Row("--label-file {files}/labels", path="Config.Labels.read", shown="two words"),
    Row("--link base:other", "cat /etc/hosts", r"^10\.88\.0\.\d+\tother ",
        "NetworkSettings.Networks.flagged.Links", ["base:other"]),
    Row("--log-driver json-file", path="HostConfig.LogConfig.Type", shown="json-file"),
    Row("--log-opt max-size=10k", path="HostConfig.LogConfig.Config", shown={"max-size": "10k"}),
    Row("--mac-address 02:42:00:00:88:77", "cat /sys/class/net/eth0/address",
        "^02:42:00:00:88:77$", "NetworkSettings.Networks.flagged.MacAddress", "02:42:00:00:88:77"),
    Row("--memory 32m", f"cat {GROUPS}/memory/memory.limit_in_bytes", "^33554432$",
        "HostConfig.Memory", 33554432),
    Row("--memory-reservation 16m", f"cat {GROUPS}/memory/memory.soft_limit_in_bytes",
        "^16777216$", "HostConfig.MemoryReservation", 16777216),
    Row("--memory-swap 64m", f"cat {GROUPS}/memory/memory.memsw.limit_in_bytes", "^67108864$",
        "HostConfig.MemorySwap", 67108864),
    Row("--memory-swappiness 7", f"cat {GROUPS}/memory/memory.swappiness", "^7$",
        "HostConfig.MemorySwappiness", 7),
    Row("--mount type=bind,src={files},dst=/files,readonly,bind-propagation=rslave",
        "grep ' /files ' /proc/self/mountinfo", r" ro,.* master:\d",
        "HostConfig.Mounts.0.BindOptions.Propagation", "rslave"),
    Row("--name flagged", path="Name", shown="/flagged"),
    Row("--network flagged", path="HostConfig.NetworkMode", shown="flagged"),
    Row("--network-alias also", "nslookup also. 127.0.0.11", r"10\.88\.0\.77",
        "NetworkSettings.Networks.flagged.Aliases", ["also"]),
    Row("--oom-kill-disable", f"cat {GROUPS}/memory/memory.oom_control", "^oom_kill_disable 1$",
        "HostConfig.OomKillDisable", True),
    Row("--oom-score-adj 321", "cat /proc/1/oom_score_adj", "^321$",
        "HostConfig.OomScoreAdj", 321),
    Row("--pids-limit 77", f"cat {GROUPS}/pids/pids.max", "^77$", "HostConfig.PidsLimit", 77),
    Row("--platform linux/{machine}", path="Platform", shown="linux"),
    Row("--publish 127.0.0.1:8088:80", "host: nft list table ip skep", r"\b8088\b",
        "HostConfig.PortBindings", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8088"}]}),
    Row("--publish-all", path="HostConfig.PublishAllPorts", shown=True),
    Row("--restart on-failure:2", path="HostConfig.RestartPolicy",
        shown={"Name": "on-failure", "MaximumRetryCount": 2}),
    Row("--runtime runc", path="HostConfig.Runtime", shown="runc"),
    Row("--security-opt seccomp={files}/profile.json", "sh -c 'mkdir /made 2>&1 || true'",
        "not permitted"),
    Row("--shm-size 8m", "df -k /dev/shm", r"^shm +8192 ", "HostConfig.ShmSize", 8 << 20),
    Row("--stop-signal USR1", path="Config.StopSignal", shown="USR1"),
    Row("--stop-timeout 3", path="Config.StopTimeout", shown=3),
    Row("--sysctl net.ipv4.ip_unprivileged_port_start=80",
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "^80$",
        "HostConfig.Sysctls", {"net.ipv4.ip_unprivileged_port_start": "80"}),
    Row("--tmpfs /etc/mem:size=64k,mode=700", "grep /etc/mem /proc/mounts",
        "nosuid,nodev,noexec,relatime,size=64k,mode=700",
        "HostConfig.Tmpfs", {"/etc/mem": "size=64k,mode=700"}),
    Row("--tty", path="Config.Tty", shown=True),
    Row("--ulimit nofile=100:200", "grep 'open files' /proc/1/limits", " 100 +200 ",
        "HostConfig.Ulimits", [{"Name": "nofile", "Soft": 100, "Hard": 200}]),
    Row("--user 0:5", "id -g", "^5$", "Config.User", "0:5"),
    Row("--volume named:/named:ro", "sh -c 'touch /named/x 2>&1 || true'", "Read-only",
        "HostConfig.Binds", ["named:/named:ro"]),
    Row("--volume-driver local", path="HostConfig.VolumeDriver", shown="local"),
    Row("--volumes-from base:ro", "sh -c 'cat /kept/file; touch /kept/x 2>&1 || true'",
        r"\Akept\n.*Read-only", "HostConfig.VolumesFrom", ["base:ro"]),
    Row("--workdir /some/where", "pwd", "^/some/where$", "Config.WorkingDir", "/some/where"),
]  # fmt: skip

ALONE = [
    Row("--cgroupns private", "cat /proc/self/cgroup", "memory:/$",
        "HostConfig.CgroupnsMode", "private"),
    Row("--cgroupns host", "cat /proc/self/cgroup", "memory:/lib",
        "HostConfig.CgroupnsMode", "host"),
    Row("--cpus 0.5", f"cat {GROUPS}/cpu/cpu.cfs_quota_us", "^50000$",
        "HostConfig.NanoCpus", 500000000),
    Row("--disable-content-trust"),
    Row("--entrypoint echo", "hello", "^hello$", "Config.Entrypoint", ["echo"]),
    Row("--ipc host", "readlink /proc/self/ns/ipc", "^{ipc}$", "HostConfig.IpcMode", "host"),
    Row("--ipc none", "ls /dev", r"\A(?!(.*\n)*shm)", "HostConfig.IpcMode", "none"),
    Row("--isolation default", path="HostConfig.Isolation", shown="default"),
    Row("--log-driver none", path="HostConfig.LogConfig", shown={"Type": "none", "Config": {}}),
    Row("--log-driver local --log-opt max-size=1m", "echo seen", "^seen$",
        "HostConfig.LogConfig", {"Type": "local", "Config": {"max-size": "1m"}}),
    Row("-m 32m --memory-swap -1", f"cat {GROUPS}/memory/memory.memsw.limit_in_bytes",
        r"^9\d{{18}}$", "HostConfig.MemorySwap", -1),
    Row("-m 32m", path="HostConfig.MemorySwap", shown=64 << 20),
    Row("--mount type=tmpfs,dst=/t,tmpfs-size=64k,tmpfs-mode=700", "grep ' /t ' /proc/mounts",
        "nosuid,nodev,noexec,relatime,size=64k,mode=700", "HostConfig.Mounts.0.Type", "tmpfs"),
    Row("--no-healthcheck", path="Config.Healthcheck", shown={"Test": ["NONE"]}),
    Row("--pid host", "readlink /proc/self/ns/pid", "^{pid}$", "HostConfig.PidMode", "host"),
    Row("--pid container:base", "ps", "sleep 1d", "HostConfig.PidMode", "container:{base}"),
    Row("--privileged", "grep CapEff /proc/self/status", "000001ff", "HostConfig.Privileged", True),
    Row("--pull never"),
    Row("--quiet"),
    Row("--read-only", "sh -c 'touch /x /tmp/x /run/x 2>&1 || true'",
        "/x: Read-only(.*\n)*.*/tmp/x: Read-only(.*\n)*.*/run/x: Read-only",
        "HostConfig.ReadonlyRootfs", True),
    Row("--read-only --tmpfs /tmp", "touch /tmp/x", "^$", "HostConfig.Tmpfs", {"/tmp": ""}),
    Row("--rm", path="HostConfig.AutoRemove", shown=True),
    Row("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status", "1$",
        "HostConfig.SecurityOpt", ["no-new-privileges"]),
    Row("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", "0$",
        "HostConfig.SecurityOpt", ["seccomp=unconfined"]),
    Row("--security-opt systempaths=unconfined", "head -1 /proc/timer_list", "^Timer List",
        "HostConfig.MaskedPaths", []),
    Row("--userns host", "cat /proc/self/uid_map", "0 +0 ", "HostConfig.UsernsMode", "host"),
    Row("--uts host", "hostname", "^h1$", "HostConfig.UTSMode", "host"),
    Row("-v /anonymous", "grep -c /anonymous /proc/mounts", "^1$"),
]  # fmt: skip

REFUSED = [
    ("--blkio-weight-device {disk}:200", "blkio.bfq.weight_device"),
    ("--cpu-count 1", "--cpu-count.* only supported .* windows"),
    ("--cpu-percent 5", "--cpu-percent.* only supported .* windows"),
    ("--cpu-rt-runtime 95000", "cpu.rt_runtime_us"),
    ("--cpu-rt-period 0x", "invalid argument"),
    ("--device-cgroup-rule bogus", "invalid device cgroup (rule )?format"),
    ("--gpus all", "could not select device driver .*--device"),
    ("--group-add nosuch", "Unable to find group nosuch"),
    ("--io-maxbandwidth 1m", "--io-maxbandwidth.* only supported .* windows"),
    ("--io-maxiops 5", "--io-maxiops.* only supported .* windows"),
    ("--isolation hyperv", 'invalid --isolation "hyperv"'),
    ("--link nosuch:x", "No such container: nosuch"),
    ("--link-local-ip 169.254.1.1", "link-local addresses are not supported"),
    ("--log-driver syslog", "no log driver named 'syslog' is registered"),
    ("--log-driver journald", "journald needs systemd's journal"),
    ("--log-opt bogus=1", "unknown log opt 'bogus' for json-file"),
    ("--log-opt tag=x", "log option tag of json-file is not supported"),
    ("--mount type=bind,src={files}/nosuch,dst=/x", "bind source path does not exist: /.*/nosuch"),
    ("--mount type=image,src=busybox,dst=/x", "mounts of type image are not supported"),
    ("--pid container:nosuch", "could not get container for nosuch"),
    ("--platform linux/riscv64 --pull never", "does not match the specified platform"),
    ("--pull always", "connection refused|unreachable"),
    ("--runtime bogus", 'invalid --runtime "bogus"'),
    ("--security-opt bogus=1", 'invalid --security-opt 2: "bogus=1"'),
    ("--storage-opt size=10G", "overlay over xfs with 'pquota'"),
    ("--use-api-socket", "bind source path does not exist: /run/skep-lab"),
    ("--user nosuch", "unable to find user nosuch"),
    ("--uts host --hostname x", "conflicting options: hostname and the UTS mode"),
    ("--volume-driver nosuch -v a:/a", 'invalid --volume-driver "nosuch"'),
    ("--volumes-from nosuch", "could not get container for nosuch: No such container: nosuch"),
]

BY_THE_CLIENT = {
    "--help": "prints what this test reads",
    "--attach": "test_what_is_attached",
    "--cidfile": "test_the_id_is_written",
    "--detach": "every test",
    "--detach-keys": "test_rows_terminals.py",
    "--sig-proxy": "test_signals_of_the_client_arrive",
    "--kernel-memory": "test_what_is_asked_of_the_api_alone: this client takes it and is silent",
}
"""Flags whose work is the client's, or that have a test apart, with where that is."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = SwarmLab(f"conflag{os.getpid()}", 1)
    lab.up(swarm=False)
    files = tmp_path_factory.mktemp("flags")
    (files / "env").write_text("READ=two words\n")
    (files / "labels").write_text("read=two words\n")
    (files / "profile.json").write_text(PROFILE)
    lab.run("h1", "mount", "--bind", str(files), str(files))
    lab.run("h1", "mount", "--make-shared", str(files))
    lab.docker("h1", "network", "create", "--subnet", "10.88.0.0/24", "--ipv6", "--subnet",
               "fd88::/64", "flagged")  # fmt: skip
    lab.docker("h1", "run", "-d", "--name", "base", "--network", "flagged", "-v", "/kept",
               "busybox", "sh", "-c", "echo kept >/kept/file; exec sleep 1d")  # fmt: skip
    lab.words = words_of(lab, files)
    lab.docker("h1", "run", "-d", *written(lab, *(row.flag for row in TOGETHER)), "busybox",
               "sleep", "1d")  # fmt: skip
    lab.shown = json.loads(lab.docker("h1", "inspect", "flagged"))[0]
    yield lab
    lab.run("h1", "umount", str(files), check=False)
    lab.down()


def words_of(lab, files):
    """What stands in the rows for things of this machine."""
    disk = next(path for path in Path("/dev").iterdir() if path.is_block_device())
    disk = next((path for path in (Path("/dev/vda"), Path("/dev/sda")) if path.exists()), disk)
    return {
        "files": files,
        "disk": disk,
        "machine": lab.docker("h1", "version", "-f", "{{.Server.Arch}}").strip(),
        "ipc": re.escape(lab.run("h1", "readlink", "/proc/self/ns/ipc").strip()),
        "pid": re.escape(lab.run("h1", "readlink", "/proc/self/ns/pid").strip()),
        "base": lab.docker("h1", "inspect", "-f", "{{.Id}}", "base").strip(),
        "state": "/var/lib/skep/engine/storage",
    }


def written(lab, *flags):
    """Rows' flags as words of a command line."""
    return [word for flag in flags for word in shlex.split(flag.format(**lab.words))]


def at(shown, path):
    """What an inspected object has at a path of names and numbers."""
    for name in path.split("."):
        shown = shown[int(name)] if isinstance(shown, list) else shown[name]
    return shown


def compare(lab, row, shown):
    wanted = row.shown.format(**lab.words) if isinstance(row.shown, str) else row.shown
    if row.path:
        assert at(shown, row.path) == wanted


def titles(rows):
    return [row[0] for row in rows]


@pytest.mark.parametrize("row", TOGETHER, ids=titles(TOGETHER))
def test_flags_that_go_together(lab, row):
    command = row.command.format(id=lab.shown["Id"], **lab.words)
    if command.startswith("host: "):
        said = lab.run("h1", *shlex.split(command.removeprefix("host: ")))
    else:
        said = "" if command == "true" else lab.docker("h1", "exec", "flagged",
                                                       *shlex.split(command))  # fmt: skip
    assert re.search(row.says, said, re.MULTILINE), said
    compare(lab, row, lab.shown)


@pytest.mark.parametrize("row", ALONE, ids=titles(ALONE))
def test_flags_alone(lab, row):
    lab.docker("h1", "create", "--name", "alone", *written(lab, row.flag), "busybox",
               *shlex.split(row.command))  # fmt: skip
    try:
        compare(lab, row, json.loads(lab.docker("h1", "inspect", "alone"))[0])
        code, said, complaints = lab.tried("h1", "start", "-a", "alone")
        assert code == 0, complaints
        assert re.search(row.says.format(**lab.words), said, re.MULTILINE), said
    finally:
        lab.docker("h1", "rm", "-fv", "alone")


@pytest.mark.parametrize("row", REFUSED, ids=titles(REFUSED))
def test_refused(lab, row):
    flag, pattern = row
    code, output, complaints = lab.tried("h1", "run", "--name", "refused", *written(lab, flag),
                                         "busybox", "true")  # fmt: skip
    lab.docker("h1", "rm", "-f", "refused")
    assert code in (1, 125), output + complaints
    assert re.search(pattern, complaints), complaints


@pytest.mark.parametrize("verb", ["create", "run"])
def test_no_flag_is_left_out(lab, verb):
    printed = subprocess.run([lab.client, verb, "--help"], capture_output=True, text=True,
                             check=True).stdout  # fmt: skip
    flags = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", printed, re.MULTILINE))
    assert len(flags) > 90
    rows = " ".join([*titles(TOGETHER), *titles(ALONE), *titles(REFUSED)])
    assert flags - set(re.findall(r"--[\w-]+", rows)) - set(BY_THE_CLIENT) == set()


ATTACHED = [
    (["stdout"], ("out\n", "")),
    (["stderr"], ("", "err\n")),
    (["stdout", "stderr"], ("out\n", "err\n")),
]


@pytest.mark.parametrize(("streams", "said"), ATTACHED)
def test_what_is_attached(lab, streams, said):
    words = [word for stream in streams for word in ("--attach", stream)]
    code, *told = lab.tried("h1", "run", "--rm", *words, "busybox", "sh", "-c",
                            "echo out; echo err >&2")  # fmt: skip
    assert (code, *told) == (0, *said)


def test_the_id_is_written(lab, tmp_path):
    made = lab.docker("h1", "create", "--cidfile", str(tmp_path / "cid"), "busybox").strip()
    assert (tmp_path / "cid").read_text() == made
    assert lab.tried("h1", "create", "--cidfile", str(tmp_path / "cid"), "busybox")[0] != 0
    lab.docker("h1", "rm", made)


def test_the_health_of_the_start_is_asked_for_at_its_own_interval(lab):
    shown = ["inspect", "-f", "{{.State.Health.Status}}", "flagged"]
    assert lab.docker("h1", *shown).strip() == "starting"
    lab.docker("h1", "exec", "flagged", "touch", "/well")
    until(lambda: lab.docker("h1", *shown).strip() == "healthy", 60)


def test_a_stop_takes_its_signal_and_its_time(lab):
    lab.docker("h1", "run", "-d", "--name", "stubborn", "--stop-signal", "USR1", "--stop-timeout",
               "300", "busybox", "sh", "-c",
               "trap 'exit 7' USR1; trap '' TERM; while :; do sleep 0.1; done")  # fmt: skip
    lab.docker("h1", "stop", "stubborn")
    assert lab.docker("h1", "wait", "stubborn").strip() == "7"
    lab.docker("h1", "rm", "stubborn")


def test_signals_of_the_client_arrive(lab):
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    client = subprocess.Popen(
        [lab.client, "-H", f"unix://{lab.socket('h1')}", "run", "--rm", "--sig-proxy", "busybox",
         "sh", "-c", script],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdout.readline() == "ready\n"
    client.terminate()
    assert client.communicate(timeout=120)[0] == "caught\n"
    assert client.returncode == 5


def test_logs_are_not_kept_above_their_size(lab):
    lab.docker("h1", "run", "--name", "chatty", "--log-opt", "max-size=10k", "--log-opt",
               "max-file=3", "busybox", "seq", "1", "5000")  # fmt: skip
    kept = lab.docker("h1", "logs", "chatty").split()
    assert kept[-1] == "5000"
    assert len(kept) < 2500
    code, _, warned = lab.tried("h1", "create", "--log-opt", "max-file=3", "busybox")
    assert code == 0
    assert "WARNING: log option max-file has no use" in warned
    lab.docker("h1", "rm", "chatty")


ASKED_OF_THE_API = [
    ({"HostConfig": {"KernelMemory": 8 << 20}}, "KernelMemory is not supported: .* --memory"),
    ({"HostConfig": {"CpuCount": 2}}, "CpuCount is not supported: it is for Windows"),
    ({"HostConfig": {"Bogus": 2}}, "HostConfig.Bogus is not a member"),
    ({"NetworkDisabled": True}, "NetworkDisabled is not supported: use --network none"),
    ({"HostConfig": {"IpcMode": "bogus"}}, 'invalid --ipc "bogus"'),
    ({"HostConfig": {"CgroupnsMode": "bogus"}}, 'invalid --cgroupns "bogus"'),
]


@pytest.mark.parametrize(("body", "pattern"), ASKED_OF_THE_API)
def test_what_is_asked_of_the_api_alone(lab, body, pattern):
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", lab.socket("h1"), "-H", "Content-Type: application/json",
         "-d", json.dumps({"Image": "busybox", **body}), "http://d/v1.44/containers/create"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search(pattern, json.loads(done.stdout)["message"]), done.stdout
