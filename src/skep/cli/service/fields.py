"""The flags of ``service create`` and ``service update``: one table, with places in the spec.

A `Single` sets one member, the same way in both commands. A `Collection` is given as ``--x`` to
create, and as ``--x-add`` and ``--x-rm`` to update; `skep.cli.service.changes` says how it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from skep.cli.flags import (
    BYTES,
    CPUS,
    DURATION,
    FRACTION,
    INTEGER,
    LIST,
    NATURAL,
    SWITCH,
    TEXT,
    Flag,
    Kind,
)
from skep.cli.service import changes
from skep.cli.service.changes import Change
from skep.cli.service.paths import (
    CONTAINER,
    DNS,
    ENDPOINT,
    HEALTH,
    LIMITS,
    PLACEMENT,
    RESERVATIONS,
    RESTART,
    ROLLBACK,
    TASK,
    UPDATE,
    Path,
)
from skep.cli.syntax.attachments import (
    extra_host,
    generic_resource,
    ip_address,
    network,
    payload,
    preference,
    search_domain,
    ulimit,
)
from skep.cli.syntax.mounts import mount
from skep.cli.syntax.pairs import environment_word
from skep.cli.syntax.ports import service_ports
from skep.cli.syntax.quantities import positive_duration
from skep.cli.syntax.shellwords import shell_words
from skep.model.errors import Invalid


def label(text: str) -> str:
    """A label, as given. Raises `Invalid` for one without a name."""
    if not text.partition("=")[0]:
        raise Invalid(f"invalid label '{text}': empty name")
    return text


def credential_spec(text: str) -> dict[str, str]:
    """``--credential-spec``, which only Windows has a use for."""
    for mark, member in (("config", "Config"), ("file", "File"), ("registry", "Registry")):
        if text.startswith(f"{mark}://"):
            return {member: text.removeprefix(f"{mark}://")}
    raise Invalid('invalid credential spec: value must be prefixed with "config://", "file://", or '
                  '"registry://"')  # fmt: skip


COMMAND = Kind("command", shell_words)
POSITIVE = Kind("duration", positive_duration)
CREDENTIALS = Kind("credential-spec", credential_spec)


def _many(word: str, read: Callable[[str], Any]) -> Kind:
    return Kind(word, read, many=True)


class Single(msgspec.Struct, frozen=True):
    """A flag that sets one member."""

    flag: Flag
    path: Path


class Collection(msgspec.Struct, frozen=True):
    """A flag whose values are collected. ``removal`` is how ``--x-rm`` reads its own."""

    name: str
    help: str
    kind: Kind
    path: Path
    change: Change
    short: str = ""
    removal: Kind = LIST

    @property
    def nothing(self) -> Any:
        """What there is in the spec before anything was added."""
        return {} if self.change is changes.pairs else []

    @property
    def flag(self) -> Flag:
        """For create."""
        return Flag(self.name, self.help, self.kind, self.short)

    @property
    def update_flags(self) -> tuple[Flag, Flag]:
        """For update."""
        return (
            Flag(f"{self.name}-add", f"Add or update: {self.help}", self.kind),
            Flag(f"{self.name}-rm", f"Remove: {self.help}", self.removal),
        )


def _single(name: str, text: str, kind: Kind, path: Path, short: str = "") -> Single:
    return Single(Flag(name, text, kind, short), path)


def _policy(mark: str, gerund: str, path: Path) -> tuple[Single, ...]:
    """The six flags of updating, or of rolling back."""
    return (
        _single(f"{mark}-delay", f"Delay between {gerund}s (ns|us|ms|s|m|h)", DURATION,
                (*path, "Delay")),
        _single(f"{mark}-failure-action", f"Action on {mark} failure", TEXT,
                (*path, "FailureAction")),
        _single(f"{mark}-max-failure-ratio", f"Failure rate to tolerate during {mark}", FRACTION,
                (*path, "MaxFailureRatio")),
        _single(f"{mark}-monitor", f"Duration after each task {mark} to monitor for failure",
                DURATION, (*path, "Monitor")),
        _single(f"{mark}-order", 'Order ("start-first", "stop-first")', TEXT, (*path, "Order")),
        _single(f"{mark}-parallelism", f"Maximum number of simultaneous {gerund}s (0: all at once)",
                NATURAL, (*path, "Parallelism")),
    )  # fmt: skip


SINGLES = (
    _single("credential-spec", "Credential spec for managed service account (Windows only)",
            CREDENTIALS, (*CONTAINER, "Privileges", "CredentialSpec")),
    _single("endpoint-mode", "Endpoint mode (vip or dnsrr)", TEXT, (*ENDPOINT, "Mode")),
    _single("entrypoint", "Overwrite the default ENTRYPOINT of the image", COMMAND,
            (*CONTAINER, "Command")),
    _single("health-interval", "Time between running the check (ms|s|m|h)", POSITIVE,
            (*HEALTH, "Interval")),
    _single("health-retries", "Consecutive failures needed to report unhealthy", INTEGER,
            (*HEALTH, "Retries")),
    _single("health-start-interval", "Time between running the check during the start period",
            POSITIVE, (*HEALTH, "StartInterval")),
    _single("health-start-period", "Start period before counting retries towards unstable",
            POSITIVE, (*HEALTH, "StartPeriod")),
    _single("health-timeout", "Maximum time to allow one check to run (ms|s|m|h)", POSITIVE,
            (*HEALTH, "Timeout")),
    _single("hostname", "Container hostname", TEXT, (*CONTAINER, "Hostname")),
    _single("init", "Use an init inside each service container", SWITCH, (*CONTAINER, "Init")),
    _single("isolation", "Service container isolation mode", TEXT, (*CONTAINER, "Isolation")),
    _single("limit-cpu", "Limit CPUs", CPUS, (*LIMITS, "NanoCPUs")),
    _single("limit-memory", "Limit Memory", BYTES, (*LIMITS, "MemoryBytes")),
    _single("limit-pids", "Limit maximum number of processes (default 0 = unlimited)", INTEGER,
            (*LIMITS, "Pids")),
    _single("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)", INTEGER,
            (*CONTAINER, "OomScoreAdj")),
    _single("read-only", "Mount the container's root filesystem as read only", SWITCH,
            (*CONTAINER, "ReadOnly")),
    _single("replicas-max-per-node", "Maximum number of tasks per node (default 0 = unlimited)",
            NATURAL, (*PLACEMENT, "MaxReplicas")),
    _single("reserve-cpu", "Reserve CPUs", CPUS, (*RESERVATIONS, "NanoCPUs")),
    _single("reserve-memory", "Reserve Memory", BYTES, (*RESERVATIONS, "MemoryBytes")),
    _single("restart-condition", 'Restart when condition is met ("none", "on-failure", "any")',
            TEXT, (*RESTART, "Condition")),
    _single("restart-delay", "Delay between restart attempts (ns|us|ms|s|m|h)", DURATION,
            (*RESTART, "Delay")),
    _single("restart-max-attempts", "Maximum number of restarts before giving up", NATURAL,
            (*RESTART, "MaxAttempts")),
    _single("restart-window", "Window used to evaluate the restart policy (ns|us|ms|s|m|h)",
            DURATION, (*RESTART, "Window")),
    *_policy("rollback", "rollback", ROLLBACK),
    _single("stop-grace-period", "Time to wait before force killing a container", DURATION,
            (*CONTAINER, "StopGracePeriod")),
    _single("stop-signal", "Signal to stop the container", TEXT, (*CONTAINER, "StopSignal")),
    _single("tty", "Allocate a pseudo-TTY", SWITCH, (*CONTAINER, "TTY"), "t"),
    *_policy("update", "update", UPDATE),
    _single("user", "Username or UID (format: <name|uid>[:<group|gid>])", TEXT,
            (*CONTAINER, "User"), "u"),
    _single("workdir", "Working directory inside the container", TEXT, (*CONTAINER, "Dir"), "w"),
)  # fmt: skip
COLLECTIONS = (
    Collection("config", "Specify configurations to expose to the service",
               _many("config", payload), (*CONTAINER, "Configs"), changes.payloads),
    Collection("constraint", "Placement constraints", LIST, (*PLACEMENT, "Constraints"),
               changes.words),
    Collection("container-label", "Container labels", _many("list", label),
               (*CONTAINER, "Labels"), changes.pairs),
    Collection("dns", "Set custom DNS servers", _many("list", ip_address),
               (*DNS, "Nameservers"), changes.words),
    Collection("dns-option", "Set DNS options", LIST, (*DNS, "Options"), changes.words),
    Collection("dns-search", "Set custom DNS search domains", _many("list", search_domain),
               (*DNS, "Search"), changes.words),
    Collection("env", "Set environment variables", _many("list", environment_word),
               (*CONTAINER, "Env"), changes.variables, "e"),
    Collection("generic-resource", "User defined resources", _many("list", generic_resource),
               (*RESERVATIONS, "GenericResources"), changes.resources),
    Collection("group", "Set supplementary user groups for the container", LIST,
               (*CONTAINER, "Groups"), changes.words),
    Collection("host", "Set custom host-to-IP mappings (host:ip)", _many("list", extra_host),
               (*CONTAINER, "Hosts"), changes.hosts),
    Collection("label", "Service labels", _many("list", label), ("Labels",), changes.pairs, "l"),
    Collection("mount", "Attach a filesystem mount to the service", _many("mount", mount),
               (*CONTAINER, "Mounts"), changes.mounts),
    Collection("network", "Network attachments", _many("network", network),
               (*TASK, "Networks"), changes.networks),
    Collection("placement-pref", "Add a placement preference", _many("pref", preference),
               (*PLACEMENT, "Preferences"), changes.preferences, "", _many("pref", preference)),
    Collection("publish", "Publish a port as a node port",
               Kind("port", service_ports, many=True, spread=True), (*ENDPOINT, "Ports"),
               changes.ports, "p", Kind("port", service_ports, many=True, spread=True)),
    Collection("secret", "Specify secrets to expose to the service", _many("secret", payload),
               (*CONTAINER, "Secrets"), changes.payloads),
    Collection("sysctl", "Sysctl options", LIST, (*CONTAINER, "Sysctls"), changes.pairs),
    Collection("ulimit", "Ulimit options", _many("ulimit", ulimit), (*CONTAINER, "Ulimits"),
               changes.ulimits),
)  # fmt: skip
_DETACH = Flag("detach", "Exit immediately instead of waiting for the service to converge",
               SWITCH, "d")  # fmt: skip
_QUIET = Flag("quiet", "Suppress progress output", SWITCH, "q")
WAITING = (_DETACH, _QUIET)
_BOTH = (
    *WAITING,
    Flag("cap-add", "Add Linux capabilities", LIST),
    Flag("cap-drop", "Drop Linux capabilities", LIST),
    Flag("health-cmd", "Command to run to check health"),
    Flag("log-driver", "Logging driver for service"),
    Flag("log-opt", "Logging driver options", LIST),
    Flag("max-concurrent", "Number of job tasks to run concurrently", NATURAL),
    Flag("no-healthcheck", "Disable any container-specified HEALTHCHECK", SWITCH),
    Flag("no-resolve-image", "Do not query the registry to resolve image digest", SWITCH),
    Flag("replicas", "Number of tasks", NATURAL),
    Flag("with-registry-auth", "Send registry authentication details to swarm agents", SWITCH),
)


def _sorted(flags: tuple[Flag, ...]) -> tuple[Flag, ...]:
    return tuple(sorted(flags, key=lambda flag: flag.name))


CREATE_FLAGS = _sorted((
    *_BOTH,
    *(single.flag for single in SINGLES),
    *(each.flag for each in COLLECTIONS),
    Flag("env-file", "Read in a file of environment variables", LIST),
    Flag("mode", 'Service mode ("replicated", "global", "replicated-job", "global-job")'),
    Flag("name", "Service name"),
))  # fmt: skip
UPDATE_FLAGS = _sorted((
    *_BOTH,
    *(single.flag for single in SINGLES),
    *(flag for each in COLLECTIONS for flag in each.update_flags),
    Flag("args", "Service command args", COMMAND),
    Flag("force", "Force update even if no changes require it", SWITCH),
    Flag("image", "Service image tag"),
    Flag("rollback", "Rollback to previous specification", SWITCH),
))  # fmt: skip

__all__ = ["COLLECTIONS", "CREATE_FLAGS", "SINGLES", "UPDATE_FLAGS", "WAITING", "Collection",
           "Single"]  # fmt: skip
