"""The flags of ``run`` and ``create``, most of them with their place in the request.

A `Place` is a member of the request's body that takes the flag's value as it is read; all other
flags are put in by `skep.cli.container.body`.
"""

from __future__ import annotations

import msgspec

from skep.cli.flags import (
    BYTES,
    CPUS,
    DURATION,
    INTEGER,
    LIST,
    NATURAL,
    SWITCH,
    TEXT,
    Flag,
    Kind,
)
from skep.cli.service.fields import label
from skep.cli.syntax.attachments import extra_host, ip_address, network, search_domain, ulimit
from skep.cli.syntax.devices import blkio_weight, device_request, throttle_bytes, throttle_count
from skep.cli.syntax.mounts import mount
from skep.cli.syntax.pairs import environment_word, map_entry
from skep.cli.syntax.quantities import memory_or_unlimited

MAP = Kind("map", map_entry, many=True)
BYTES_OR_NONE = Kind("bytes", memory_or_unlimited)
_RATE = Kind("list", throttle_bytes, many=True)
_COUNT = Kind("list", throttle_count, many=True)


class Place(msgspec.Struct, frozen=True):
    """A flag and the member that its value becomes."""

    flag: Flag
    path: tuple[str, ...]


def _at(name: str, text: str, kind: Kind, path: str, short: str = "") -> Place:
    return Place(Flag(name, text, kind, short), tuple(path.split(".")))


PLACES = (
    _at("annotation", "Add an annotation to the container", MAP, "HostConfig.Annotations"),
    _at("blkio-weight", "Block IO weight, between 10 and 1000, or 0 to disable", NATURAL,
        "HostConfig.BlkioWeight"),
    _at("blkio-weight-device", "Block IO weight (relative device weight)",
        Kind("list", blkio_weight, many=True), "HostConfig.BlkioWeightDevice"),
    _at("cgroup-parent", "Optional parent cgroup for the container", TEXT,
        "HostConfig.CgroupParent"),
    _at("cgroupns", "Cgroup namespace to use (host|private)", TEXT, "HostConfig.CgroupnsMode"),
    _at("cidfile", "Write the container ID to the file", TEXT, "HostConfig.ContainerIDFile"),
    _at("cpu-count", "CPU count (Windows only)", INTEGER, "HostConfig.CpuCount"),
    _at("cpu-percent", "CPU percent (Windows only)", INTEGER, "HostConfig.CpuPercent"),
    _at("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period", INTEGER,
        "HostConfig.CpuPeriod"),
    _at("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota", INTEGER,
        "HostConfig.CpuQuota"),
    _at("cpu-rt-period", "Limit CPU real-time period in microseconds", INTEGER,
        "HostConfig.CpuRealtimePeriod"),
    _at("cpu-rt-runtime", "Limit CPU real-time runtime in microseconds", INTEGER,
        "HostConfig.CpuRealtimeRuntime"),
    _at("cpu-shares", "CPU shares (relative weight)", INTEGER, "HostConfig.CpuShares", "c"),
    _at("cpus", "Number of CPUs", CPUS, "HostConfig.NanoCpus"),
    _at("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)", TEXT,
        "HostConfig.CpusetCpus"),
    _at("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)", TEXT,
        "HostConfig.CpusetMems"),
    _at("device-cgroup-rule", "Add a rule to the cgroup allowed devices list", LIST,
        "HostConfig.DeviceCgroupRules"),
    _at("device-read-bps", "Limit read rate (bytes per second) from a device", _RATE,
        "HostConfig.BlkioDeviceReadBps"),
    _at("device-read-iops", "Limit read rate (IO per second) from a device", _COUNT,
        "HostConfig.BlkioDeviceReadIOps"),
    _at("device-write-bps", "Limit write rate (bytes per second) to a device", _RATE,
        "HostConfig.BlkioDeviceWriteBps"),
    _at("device-write-iops", "Limit write rate (IO per second) to a device", _COUNT,
        "HostConfig.BlkioDeviceWriteIOps"),
    _at("dns", "Set custom DNS servers", Kind("list", ip_address, many=True), "HostConfig.Dns"),
    _at("dns-option", "Set DNS options", LIST, "HostConfig.DnsOptions"),
    _at("dns-search", "Set custom DNS search domains", Kind("list", search_domain, many=True),
        "HostConfig.DnsSearch"),
    _at("domainname", "Container NIS domain name", TEXT, "Domainname"),
    _at("group-add", "Add additional groups to join", LIST, "HostConfig.GroupAdd"),
    _at("hostname", "Container host name", TEXT, "Hostname", "h"),
    _at("init", "Run an init inside the container", SWITCH, "HostConfig.Init"),
    _at("interactive", "Keep STDIN open even if not attached", SWITCH, "OpenStdin", "i"),
    _at("io-maxbandwidth", "Maximum IO bandwidth limit (Windows only)", BYTES,
        "HostConfig.IOMaximumBandwidth"),
    _at("io-maxiops", "Maximum IOps limit (Windows only)", NATURAL, "HostConfig.IOMaximumIOps"),
    _at("ipc", "IPC mode to use", TEXT, "HostConfig.IpcMode"),
    _at("isolation", "Container isolation technology", TEXT, "HostConfig.Isolation"),
    _at("memory", "Memory limit", BYTES, "HostConfig.Memory", "m"),
    _at("memory-reservation", "Memory soft limit", BYTES, "HostConfig.MemoryReservation"),
    _at("memory-swap", "Swap limit equal to memory plus swap: '-1' for unlimited swap",
        BYTES_OR_NONE, "HostConfig.MemorySwap"),
    _at("memory-swappiness", "Tune container memory swappiness (0 to 100)", INTEGER,
        "HostConfig.MemorySwappiness"),
    _at("mount", "Attach a filesystem mount to the container", Kind("mount", mount, many=True),
        "HostConfig.Mounts"),
    _at("oom-kill-disable", "Disable OOM Killer", SWITCH, "HostConfig.OomKillDisable"),
    _at("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)", INTEGER,
        "HostConfig.OomScoreAdj"),
    _at("pid", "PID namespace to use", TEXT, "HostConfig.PidMode"),
    _at("pids-limit", "Tune container pids limit (set -1 for unlimited)", INTEGER,
        "HostConfig.PidsLimit"),
    _at("privileged", "Give extended privileges to this container", SWITCH,
        "HostConfig.Privileged"),
    _at("publish-all", "Publish all exposed ports to random ports", SWITCH,
        "HostConfig.PublishAllPorts", "P"),
    _at("read-only", "Mount the container's root filesystem as read only", SWITCH,
        "HostConfig.ReadonlyRootfs"),
    _at("rm", "Automatically remove the container when it exits", SWITCH,
        "HostConfig.AutoRemove"),
    _at("runtime", "Runtime to use for this container", TEXT, "HostConfig.Runtime"),
    _at("shm-size", "Size of /dev/shm", BYTES, "HostConfig.ShmSize"),
    _at("stop-signal", "Signal to stop the container", TEXT, "StopSignal"),
    _at("stop-timeout", "Timeout (in seconds) to stop a container", INTEGER, "StopTimeout"),
    _at("storage-opt", "Storage driver options for the container",
        Kind("list", map_entry, many=True), "HostConfig.StorageOpt"),
    _at("sysctl", "Sysctl options", MAP, "HostConfig.Sysctls"),
    _at("tty", "Allocate a pseudo-TTY", SWITCH, "Tty", "t"),
    _at("ulimit", "Ulimit options", Kind("ulimit", ulimit, many=True), "HostConfig.Ulimits"),
    _at("user", "Username or UID (format: <name|uid>[:<group|gid>])", TEXT, "User", "u"),
    _at("userns", "User namespace to use", TEXT, "HostConfig.UsernsMode"),
    _at("uts", "UTS namespace to use", TEXT, "HostConfig.UTSMode"),
    _at("volume-driver", "Optional volume driver for the container", TEXT,
        "HostConfig.VolumeDriver"),
    _at("volumes-from", "Mount volumes from the specified container(s)", LIST,
        "HostConfig.VolumesFrom"),
    _at("workdir", "Working directory inside the container", TEXT, "WorkingDir", "w"),
)  # fmt: skip
_OTHERS = (
    Flag("add-host", "Add a custom host-to-IP mapping (host:ip)",
         Kind("list", extra_host, many=True)),
    Flag("attach", "Attach to STDIN, STDOUT or STDERR", LIST, "a"),
    Flag("cap-add", "Add Linux capabilities", LIST),
    Flag("cap-drop", "Drop Linux capabilities", LIST),
    Flag("device", "Add a host device to the container", LIST),
    Flag("disable-content-trust", "Skip image verification (default true)", SWITCH),
    Flag("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
    Flag("env", "Set environment variables", Kind("list", environment_word, many=True), "e"),
    Flag("env-file", "Read in a file of environment variables", LIST),
    Flag("expose", "Expose a port or a range of ports", LIST),
    Flag("gpus", "GPU devices to add to the container ('all' to pass all GPUs)",
         Kind("gpu-request", device_request, many=True)),
    Flag("health-cmd", "Command to run to check health"),
    Flag("health-interval", "Time between running the check (ms|s|m|h)", DURATION),
    Flag("health-retries", "Consecutive failures needed to report unhealthy", INTEGER),
    Flag("health-start-interval", "Time between the checks during the start period", DURATION),
    Flag("health-start-period", "Start period before counting retries", DURATION),
    Flag("health-timeout", "Maximum time to allow one check to run (ms|s|m|h)", DURATION),
    Flag("ip", "IPv4 address (e.g., 172.30.100.104)"),
    Flag("ip6", "IPv6 address (e.g., 2001:db8::33)"),
    Flag("kernel-memory", "Kernel memory limit (of no effect, in docker too)", BYTES),
    Flag("label", "Set meta data on a container", Kind("list", label, many=True), "l"),
    Flag("label-file", "Read in a line delimited file of labels", LIST),
    Flag("link", "Add link to another container", LIST),
    Flag("link-local-ip", "Container IPv4/IPv6 link-local addresses", LIST),
    Flag("log-driver", "Logging driver for the container"),
    Flag("log-opt", "Log driver options", LIST),
    Flag("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("name", "Assign a name to the container"),
    Flag("network", "Connect a container to a network", Kind("network", network, many=True)),
    Flag("net", "As --network", Kind("network", network, many=True)),
    Flag("network-alias", "Add network-scoped alias for the container", LIST),
    Flag("net-alias", "As --network-alias", LIST),
    Flag("no-healthcheck", "Disable any container-specified HEALTHCHECK", SWITCH),
    Flag("platform", "Set platform if server is multi-platform capable"),
    Flag("publish", "Publish a container's port(s) to the host", LIST, "p"),
    Flag("pull", 'Pull image before running ("always", "missing", "never")'),
    Flag("quiet", "Suppress the pull output", SWITCH, "q"),
    Flag("restart", 'Restart policy to apply when a container exits (default "no")'),
    Flag("security-opt", "Security Options", LIST),
    Flag("tmpfs", "Mount a tmpfs directory", LIST),
    Flag("volume", "Bind mount a volume", LIST, "v"),
)  # fmt: skip
CREATE_FLAGS = tuple(sorted((*(each.flag for each in PLACES), *_OTHERS), key=lambda f: f.name))
RUN_FLAGS = tuple(sorted((
    *CREATE_FLAGS,
    Flag("detach", "Run container in background and print container ID", SWITCH, "d"),
    Flag("detach-keys", "Override the key sequence for detaching a container"),
    Flag("sig-proxy", "Proxy received signals to the process (default true)", SWITCH),
), key=lambda flag: flag.name))  # fmt: skip
