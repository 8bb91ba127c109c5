"""Compose files in one form: short syntax as long, lists of pairs as mappings, words as numbers.

Every function takes a section as a file has it (already checked by `skep.cli.stack.schema`) and
answers it with its members in docker's order, and without what is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skep.cli.stack.yamlfile import Amount, Duration
from skep.cli.syntax.mounts import volume
from skep.cli.syntax.ports import port_configs, short_form
from skep.cli.syntax.quantities import duration, memory
from skep.cli.syntax.shellwords import shell_words
from skep.model.errors import Invalid

Json = dict[str, Any]
Warn = Callable[[str], None]
_SERVICE = [
    "build",
    "cap_add",
    "cap_drop",
    "cgroupns_mode",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "credential_spec",
    "depends_on",
    "deploy",
    "devices",
    "dns",
    "dns_search",
    "domainname",
    "entrypoint",
    "environment",
    "env_file",
    "expose",
    "external_links",
    "extra_hosts",
    "hostname",
    "healthcheck!",
    "image",
    "init!",
    "ipc",
    "isolation",
    "labels",
    "links",
    "logging!",
    "mac_address",
    "network_mode",
    "networks",
    "pid",
    "ports",
    "privileged",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period!",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "userns_mode",
    "volumes",
    "working_dir",
    "oom_score_adj",
]
SERVICE_ORDER = {name.rstrip("!"): place for place, name in enumerate(_SERVICE)}
_ROLLOUT = ("parallelism!", "delay", "failure_action", "monitor", "max_failure_ratio", "order")


def text(value: Any) -> str:
    """A value as Go prints it in a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return "" if value is None else str(value)


def ordered(found: Mapping[str, Any], *names: str) -> Json:
    """These members, in this order, without empty ones. Of those marked with "!" an empty one says
    something, and is kept."""
    kept: Json = {}
    for marked in names:
        name = marked.rstrip("!")
        value = found.get(name)
        empty = value is None or value in ("", 0, False, [], {})
        if value is not None and (marked != name or not empty):
            kept[name] = value
    return kept


def mapping(value: Any, separator: str = "=") -> dict[str, str]:
    """Labels and the like, from a mapping or a list of pairs; without a value they are ""."""
    if isinstance(value, list):
        pairs = (item.partition(separator) for item in value)
        return dict(sorted((key, rest) for key, _, rest in pairs))
    return {key: text(value[key]) for key in sorted(value)}


def environment(value: Any) -> dict[str, str | None]:
    """Variables; those without a value are None."""
    if isinstance(value, list):
        pairs = (item.partition("=") for item in value)
        return {key: rest if given else None for key, given, rest in pairs}
    return {key: None if item is None else text(item) for key, item in value.items()}


def _command(value: Any) -> list[str]:
    return shell_words(value) if isinstance(value, str) else value


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [text(item) for item in value]


def _duration(value: str) -> Duration:
    return Duration(duration(value))


def _hosts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return sorted(f"{name}:{text(address)}" for name, address in value.items()
                      if address is not None)  # fmt: skip
    return [each.replace("=", ":", 1) for each in value if "=" in each or ":" in each]


def _build(value: Any) -> Json:
    if isinstance(value, str):
        return {"context": value}
    found = dict(value)
    for name in ("args", "labels"):
        if name in found:
            found[name] = mapping(found[name])
    return ordered(found, "context", "dockerfile", "args", "labels", "cache_from", "extra_hosts",
                   "network", "target")  # fmt: skip


def _file(value: Any) -> Json:
    if isinstance(value, str):
        return {"source": value}
    return ordered(value, "source", "target", "uid", "gid", "mode!")


def _files(value: list[Any]) -> list[Json]:
    return [_file(item) for item in value]


def _rollout(value: Json | None) -> Json | None:
    if value is None:
        return None
    found = dict(value)
    for name in ("delay", "monitor"):
        if name in found:
            found[name] = _duration(found[name])
    return ordered(found, *_ROLLOUT)


def _amounts(value: Json | None, *names: str) -> Json | None:
    if value is None:
        return None
    found = dict(value)
    if "memory" in found:
        try:
            found["memory"] = Amount(memory(found["memory"]))
        except Invalid as fault:
            raise Invalid("decoding failed due to the following error(s):\n\nerror decoding "
                          f"'Deploy.Resources.Limits.memory': {fault}") from fault  # fmt: skip
    return ordered(found, *names)


def _deploy(value: Json | None) -> Json:
    found = dict(value or {})
    if "labels" in found:
        found["labels"] = mapping(found["labels"])
    for name in ("update_config", "rollback_config"):
        found[name] = _rollout(found.get(name))
    resources = found.get("resources") or {}
    found["resources"] = {
        "limits": _amounts(resources.get("limits"), "cpus", "memory", "pids"),
        "reservations": _amounts(
            resources.get("reservations"), "cpus", "memory", "generic_resources"
        ),
    }
    found["resources"] = ordered(found["resources"], "limits!", "reservations!")
    policy = found.get("restart_policy")
    if policy is not None:
        spans = {name: _duration(policy[name]) for name in ("delay", "window") if name in policy}
        policy = ordered({**policy, **spans}, "condition", "delay!", "max_attempts!", "window!")
        found["restart_policy"] = policy
    found["placement"] = ordered(found.get("placement") or {}, "constraints", "preferences",
                                 "max_replicas_per_node")  # fmt: skip
    return ordered(found, "mode", "replicas!", "labels", "update_config!", "rollback_config!",
                   "resources", "restart_policy!", "placement", "endpoint_mode")  # fmt: skip


def _health(value: Json) -> Json:
    found = dict(value)
    if isinstance(found.get("test"), str):
        found["test"] = ["CMD-SHELL", found["test"]]
    for name in ("timeout", "interval", "start_period", "start_interval"):
        if name in found:
            found[name] = _duration(found[name])
    return ordered(found, "test", "timeout!", "interval!", "retries!", "start_period!",
                   "start_interval!", "disable")  # fmt: skip


def _logging(value: Json) -> Json:
    options = {key: text(item) for key, item in sorted((value.get("options") or {}).items())}
    return ordered({**value, "options": options}, "driver", "options")


def _networks(value: Any) -> Json:
    if isinstance(value, list):
        return dict.fromkeys(sorted(value))
    found: Json = {}
    for name in sorted(value):
        each = value[name]
        if each is not None:
            options = {key: text(item) for key, item in (each.get("driver_opts") or {}).items()}
            each = ordered({**each, "driver_opts": options}, "aliases", "driver_opts",
                           "ipv4_address", "ipv6_address")  # fmt: skip
        found[name] = each
    return found


def ports(value: list[Any], warn: Warn) -> list[Json]:
    """Published ports in the long form."""
    found: list[Json] = []
    for item in value:
        if isinstance(item, dict):
            found.append(ordered(item, "mode", "target", "published", "protocol"))
            continue
        for binding in short_form(str(item)):
            if binding.address and binding.address != "0.0.0.0":
                where = f"{binding.address}:{binding.host_port}:{binding.port}/{binding.protocol}"
                warn(f"ignoring IP-address ({where}) service will listen on '0.0.0.0'")
            found += [
                ordered({"mode": each["PublishMode"], "target": each["TargetPort"],
                         "published": each["PublishedPort"], "protocol": each["Protocol"]},
                        "mode", "target", "published", "protocol")
                for each in port_configs(binding)
            ]  # fmt: skip
    return found


def mounts(value: list[Any]) -> list[Json]:
    """Volumes in the long form; paths are not yet resolved."""
    return [
        _short_mount(item) if isinstance(item, str)
        else ordered(item, "type", "source", "target", "read_only", "consistency", "bind",
                     "volume", "tmpfs")
        for item in value
    ]  # fmt: skip


def _short_mount(item: str) -> Json:
    found = volume(item)
    return ordered(
        {
            "type": found.kind,
            "source": found.source,
            "target": found.target,
            "read_only": found.read_only,
            "bind": {"propagation": found.propagation} if found.propagation else None,
            "volume": {"nocopy": True} if found.no_copy else None,
        },
        "type", "source", "target", "read_only", "bind", "volume",
    )  # fmt: skip


def _ulimits(value: Json) -> Json:
    return {
        name: ordered(value[name], "soft", "hard") if isinstance(value[name], dict) else value[name]
        for name in sorted(value)
    }


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "build": _build, "command": _command, "entrypoint": _command, "configs": _files,
    "secrets": _files, "deploy": _deploy, "dns": _texts, "dns_search": _texts, "env_file": _texts,
    "tmpfs": _texts, "expose": _texts, "environment": environment, "extra_hosts": _hosts,
    "healthcheck": _health, "labels": mapping, "sysctls": mapping, "logging": _logging,
    "networks": _networks, "stop_grace_period": _duration, "ulimits": _ulimits, "volumes": mounts,
    "shm_size": text,
}  # fmt: skip


def service(found: Json, warn: Warn) -> Json:
    """A service."""
    formed = {name: _FORMS[name](value) if name in _FORMS and value is not None else value
              for name, value in found.items()}  # fmt: skip
    if formed.get("ports"):
        formed["ports"] = ports(formed["ports"], warn)
    return ordered(formed, *_SERVICE) | extensions(found)


def extensions(found: Json) -> Json:
    """The members that are nobody's business."""
    return {name: _sorted(found[name]) for name in sorted(found) if name.startswith("x-")}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def shared(found: Json | None, *names: str) -> Json:
    """A network, volume, secret or config, by its members' names."""
    formed = dict(found or {})
    if "labels" in formed:
        formed["labels"] = mapping(formed["labels"])
    if "driver_opts" in formed:
        formed["driver_opts"] = mapping(formed["driver_opts"])
    if "ipam" in formed:
        formed["ipam"] = ordered(formed["ipam"], "driver", "config")
    kept = ordered(formed, *names)
    return kept | extensions(formed) if formed.get("external") else kept
