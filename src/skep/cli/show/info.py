"""``info`` and ``version`` for the eye."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from skep.cli.show.times import human_span
from skep.cli.syntax.quantities import show_memory

Json = Mapping[str, Any]
_SECOND = 1_000_000_000


def info_lines(info: Json) -> Iterator[str]:
    """The server's part of ``info``."""
    yield "Server:"
    yield f" Containers: {info.get('Containers', 0)}"
    for word in ("Running", "Paused", "Stopped"):
        yield f"  {word}: {info.get(f'Containers{word}', 0)}"
    yield f" Images: {info.get('Images', 0)}"
    yield from _given(" Server Version", info.get("ServerVersion"))
    yield f" Storage Driver: {info.get('Driver', '')}"
    yield from (f"  {name}: {value}" for name, value in info.get("DriverStatus") or ())
    yield from _given(" Logging Driver", info.get("LoggingDriver"))
    yield from _given(" Cgroup Driver", info.get("CgroupDriver"))
    yield from _given(" Cgroup Version", info.get("CgroupVersion"))
    yield from _plugins(info.get("Plugins") or {})
    yield from _swarm(info.get("Swarm") or {})
    yield from _runtimes(info)
    yield from _machine(info)


def _given(title: str, value: object) -> Iterator[str]:
    if value:
        yield f"{title}: {value}"


def _plugins(plugins: Json) -> Iterator[str]:
    yield " Plugins:"
    for kind in ("Volume", "Network"):
        yield f"  {kind}: {' '.join(plugins.get(kind) or ())}"
    if plugins.get("Authorization"):
        yield f"  Authorization: {' '.join(plugins['Authorization'])}"
    yield f"  Log: {' '.join(plugins.get('Log') or ())}"


def _swarm(swarm: Json) -> Iterator[str]:
    state = swarm.get("LocalNodeState", "inactive")
    yield f" Swarm: {state}"
    if state in ("inactive", "locked"):
        return
    yield f"  NodeID: {swarm.get('NodeID', '')}"
    if swarm.get("Error"):
        yield f"  Error: {swarm['Error']}"
    manager = bool(swarm.get("ControlAvailable"))
    yield f"  Is Manager: {str(manager).lower()}"
    cluster = swarm.get("Cluster") or {}
    if manager and not swarm.get("Error") and cluster:
        yield from _cluster(swarm, cluster)
    yield f"  Node Address: {swarm.get('NodeAddr', '')}"
    managers = sorted(each["Addr"] for each in swarm.get("RemoteManagers") or ())
    if managers:
        yield "  Manager Addresses:"
        yield from (f"   {address}" for address in managers)


def _cluster(swarm: Json, cluster: Json) -> Iterator[str]:
    spec = cluster.get("Spec", {})
    yield f"  ClusterID: {cluster.get('ID', '')}"
    yield f"  Managers: {swarm.get('Managers', 0)}"
    yield f"  Nodes: {swarm.get('Nodes', 0)}"
    if cluster.get("DefaultAddrPool"):
        yield f"  Default Address Pool: {'  '.join(cluster['DefaultAddrPool'])}  "
        yield f"  SubnetSize: {cluster.get('SubnetSize', 0)}"
    if cluster.get("DataPathPort"):
        yield f"  Data Path Port: {cluster['DataPathPort']}"
    yield "  Orchestration:"
    history = (spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit") or 0
    yield f"   Task History Retention Limit: {history}"
    raft = spec.get("Raft") or {}
    yield "  Raft:"
    yield f"   Snapshot Interval: {raft.get('SnapshotInterval', 0)}"
    if raft.get("KeepOldSnapshots") is not None:
        yield f"   Number of Old Snapshots to Retain: {raft['KeepOldSnapshots']}"
    yield f"   Heartbeat Tick: {raft.get('HeartbeatTick', 0)}"
    yield f"   Election Tick: {raft.get('ElectionTick', 0)}"
    yield "  Dispatcher:"
    yield f"   Heartbeat Period: {_span((spec.get('Dispatcher') or {}).get('HeartbeatPeriod', 0))}"
    authority = spec.get("CAConfig") or {}
    yield "  CA Configuration:"
    yield f"   Expiry Duration: {_span(authority.get('NodeCertExpiry', 0))}"
    yield f"   Force Rotate: {authority.get('ForceRotate', 0)}"
    locked = bool((spec.get("EncryptionConfig") or {}).get("AutoLockManagers"))
    yield f"  Autolock Managers: {str(locked).lower()}"
    rotating = bool(cluster.get("RootRotationInProgress"))
    yield f"  Root Rotation In Progress: {str(rotating).lower()}"


def _span(nanoseconds: int) -> str:
    """As docker shows a swarm's periods: "3 months", "5 seconds"."""
    return human_span(nanoseconds / _SECOND)


def _runtimes(info: Json) -> Iterator[str]:
    runtimes = info.get("Runtimes") or {}
    if runtimes:
        yield f" Runtimes: {' '.join(sorted(runtimes))}"
        yield f" Default Runtime: {info.get('DefaultRuntime', '')}"
    if info.get("OSType") == "linux":
        yield f" Init Binary: {info.get('InitBinary', '')}"
        for title, member in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"),
                              ("init", "InitCommit")):  # fmt: skip
            yield f" {title} version: {(info.get(member) or {}).get('ID', '')}"
    options = info.get("SecurityOptions") or ()
    if options:
        yield " Security Options:"
    for option in options:
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        yield f"  {fields.pop('name', '')}"
        names = {"profile": "Profile"}
        yield from (f"   {names.get(key, key)}: {value}" for key, value in fields.items())


def _machine(info: Json) -> Iterator[str]:
    yield from _given(" Kernel Version", info.get("KernelVersion"))
    yield from _given(" Operating System", info.get("OperatingSystem"))
    yield from _given(" OSType", info.get("OSType"))
    yield from _given(" Architecture", info.get("Architecture"))
    yield f" CPUs: {info.get('NCPU', 0)}"
    yield f" Total Memory: {show_memory(info.get('MemTotal', 0))}"
    yield from _given(" Name", info.get("Name"))
    yield from _given(" ID", info.get("ID"))
    yield f" Docker Root Dir: {info.get('DockerRootDir', '')}"
    yield f" Debug Mode: {str(bool(info.get('Debug'))).lower()}"
    labels = info.get("Labels") or ()
    if labels:
        yield " Labels:"
        yield from (f"  {label}" for label in labels)
    yield f" Experimental: {str(bool(info.get('ExperimentalBuild'))).lower()}"
    registries = info.get("RegistryConfig") or {}
    insecure = [name for name, each in (registries.get("IndexConfigs") or {}).items()
                if not each.get("Secure", True)]  # fmt: skip
    insecure += registries.get("InsecureRegistryCIDRs") or ()
    if insecure:
        yield " Insecure Registries:"
        yield from (f"  {name}" for name in insecure)
    yield f" Live Restore Enabled: {str(bool(info.get('LiveRestoreEnabled'))).lower()}"


def version_lines(version: Json) -> Iterator[str]:
    """The server's part of ``version``."""
    platform = (version.get("Platform") or {}).get("Name", "")
    yield f"Server: {platform}".rstrip()
    engine = {"Name": "Engine", "Version": version.get("Version", ""), "Details": version}
    for component in version.get("Components") or (engine,):
        details = component.get("Details") or {}
        yield f" {component.get('Name', '')}:"
        yield _detail("Version", component.get("Version", ""))
        if component.get("Name") == "Engine":
            oldest = details.get("MinAPIVersion", "")
            newest = details.get("ApiVersion", "")
            yield _detail("API version", f"{newest} (minimum version {oldest})")
            yield _detail("Go version", details.get("GoVersion", ""))
            yield _detail("Git commit", details.get("GitCommit", ""))
            yield _detail("Built", details.get("BuildTime", ""))
            yield _detail("OS/Arch", f"{details.get('Os', '')}/{details.get('Arch', '')}")
            yield _detail("Experimental", details.get("Experimental", "false"))
        else:
            yield from (_detail(name, details[name]) for name in sorted(details))


def _detail(title: str, value: object) -> str:
    return f"  {f'{title}:':<18}{value}"
