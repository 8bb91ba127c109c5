"""From a configuration to the specs of the API. Source: docker/cli compose/convert."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from skep.cli.syntax.attachments import capabilities, restart_policy
from skep.cli.syntax.quantities import cpus
from skep.model.errors import Invalid

Json = dict[str, Any]
NAMESPACE = "com.docker.stack.namespace"
IMAGE = "com.docker.stack.image"
_DEFAULT = "default"
_FILE_MODE = 0o444
_PREDEFINED = ("bridge", "host", "none", "default")
_ADDS = "replicas can only be used with replicated or replicated-job mode"


class Stack(msgspec.Struct, frozen=True):
    """A stack's name, which its objects' names begin with."""

    name: str

    def scoped(self, name: str) -> str:
        """An object's name in the cluster."""
        return f"{self.name}_{name}"

    def labelled(self, labels: Mapping[str, str] | None) -> dict[str, str]:
        """Labels with the stack's own."""
        return {**(labels or {}), NAMESPACE: self.name}


def is_user_defined(network: str) -> bool:
    """Whether a network is somebody's own, not one that every host has."""
    return network not in _PREDEFINED and not network.startswith("container:")


def networks(stack: Stack, config: Json) -> tuple[dict[str, Json], list[str]]:
    """The networks that services use: bodies of their creation by name; and external ones."""
    used = dict.fromkeys(name for service in config["services"].values()
                         for name in service.get("networks") or (_DEFAULT,))  # fmt: skip
    bodies: dict[str, Json] = {}
    external = []
    for name in used:
        network = (config.get("networks") or {}).get(name) or {}
        if network.get("external"):
            external.append(network["name"])
            continue
        body: Json = {
            "Driver": network.get("driver") or "overlay",
            "Options": network.get("driver_opts") or {},
            "Internal": bool(network.get("internal")),
            "Attachable": bool(network.get("attachable")),
            "Labels": stack.labelled(network.get("labels")),
        }
        if network.get("ipam"):
            body["IPAM"] = {
                "Driver": network["ipam"].get("driver", ""),
                "Config": [{"Subnet": each.get("subnet", "")}
                           for each in network["ipam"].get("config", ())],
            }  # fmt: skip
        bodies[network.get("name") or stack.scoped(name)] = body
    return bodies, external


def payloads(stack: Stack, given: Mapping[str, Json]) -> list[Json]:
    """Secrets or configs to make. Raises `OSError` if a file cannot be read."""
    found = []
    for name, each in given.items():
        if each.get("external"):
            continue
        spec: Json = {
            "Name": each.get("name") or stack.scoped(name),
            "Labels": stack.labelled(each.get("labels")),
        }
        if each.get("driver"):
            spec["Driver"] = {"Name": each["driver"], "Options": each.get("driver_opts") or {}}
        else:
            spec["Data"] = base64.b64encode(Path(each["file"]).read_bytes()).decode()
        if each.get("template_driver"):
            spec["Templating"] = {"Name": each["template_driver"]}
        found.append(spec)
    return found


def payload_wishes(stack: Stack, config: Json, name: str, noun: str) -> list[Json]:
    """Which secrets or configs ("secret", "config") a service gets, and where; as flags say it."""
    defined = config.get(f"{noun}s") or {}
    wishes = []
    for each in config["services"][name].get(f"{noun}s") or ():
        source = each["source"]
        if source not in defined:
            raise Invalid(f'service {name}: undefined {noun} "{source}"')
        wishes.append({
            "Source": defined[source].get("name") or stack.scoped(source),
            "Name": each.get("target") or source,
            "UID": each.get("uid") or "0",
            "GID": each.get("gid") or "0",
            "Mode": each.get("mode", _FILE_MODE),
        })  # fmt: skip
    return wishes


def service_spec(stack: Stack, config: Json, name: str) -> Json:
    """A service's spec, without secrets and configs. Raises `Invalid` naming the service."""
    service = config["services"][name]
    try:
        return _spec(stack, config, name, service)
    except Invalid as fault:
        raise Invalid(f"service {name}: {fault}") from fault


def _spec(stack: Stack, config: Json, name: str, service: Json) -> Json:
    deploy = service.get("deploy") or {}
    labels = stack.labelled(deploy.get("labels")) | {IMAGE: service.get("image", "")}
    spec: Json = {
        "Name": stack.scoped(name),
        "Labels": labels,
        "TaskTemplate": {
            "ContainerSpec": _container(stack, config, service),
            "Resources": _resources(deploy.get("resources") or {}),
            "RestartPolicy": _restart(service.get("restart", ""), deploy.get("restart_policy")),
            "Placement": _placement(deploy.get("placement") or {}),
            "Networks": _attachments(stack, config, name, service),
            "LogDriver": _log_driver(service.get("logging")),
        },
        "Mode": _mode(deploy),
        "UpdateConfig": _rollout(deploy.get("update_config")),
        "RollbackConfig": _rollout(deploy.get("rollback_config")),
        "EndpointSpec": {
            "Mode": deploy.get("endpoint_mode", "").lower(),
            "Ports": sorted(map(_port, service.get("ports") or ()),
                            key=lambda port: port["PublishedPort"]),
        },
    }  # fmt: skip
    return spec


def _container(stack: Stack, config: Json, service: Json) -> Json:
    added, dropped = capabilities(service.get("cap_add") or (), service.get("cap_drop") or ())
    variables = service.get("environment") or {}
    container: Json = {
        "Image": service.get("image", ""),
        "Command": service.get("entrypoint") or [],
        "Args": service.get("command") or [],
        "Hostname": service.get("hostname", ""),
        "Hosts": [f"{address} {host}" for host, given, address
                  in (each.partition(":") for each in service.get("extra_hosts") or ()) if given],
        "Env": sorted(key if value is None else f"{key}={value}"
                      for key, value in variables.items()),
        "Labels": stack.labelled(service.get("labels")),
        "Dir": service.get("working_dir", ""),
        "User": service.get("user", ""),
        "Mounts": [_mount(stack, config, each) for each in service.get("volumes") or ()],
        "StopGracePeriod": service.get("stop_grace_period"),
        "StopSignal": service.get("stop_signal", ""),
        "TTY": service.get("tty", False),
        "OpenStdin": service.get("stdin_open", False),
        "ReadOnly": service.get("read_only", False),
        "Isolation": service.get("isolation", ""),
        "Init": service.get("init"),
        "Sysctls": service.get("sysctls") or {},
        "CapabilityAdd": added,
        "CapabilityDrop": dropped,
        "Ulimits": _ulimits(service.get("ulimits") or {}),
        "OomScoreAdj": service.get("oom_score_adj", 0),
        "Healthcheck": _health(service.get("healthcheck")),
        "Privileges": _privileges(service.get("credential_spec") or {}),
    }  # fmt: skip
    if service.get("dns") or service.get("dns_search"):
        container["DNSConfig"] = {
            "Nameservers": service.get("dns") or [],
            "Search": service.get("dns_search") or [],
        }
    return container


def _privileges(spec: Json) -> Json:
    given = [name for name in ("config", "file", "registry") if spec.get(name)]
    if "config" in given:
        raise Invalid("credential_spec.config is for Windows, which skep does not run on")
    if len(given) > 1:
        raise Invalid('invalid credential spec: cannot specify both "File" and "Registry"')
    return {"CredentialSpec": {name.capitalize(): spec[name] for name in given}} if given else {}


def _mount(stack: Stack, config: Json, each: Json) -> Json:
    kind = each.get("type") or "volume"
    if kind not in ("volume", "bind", "tmpfs"):
        raise Invalid("volume type must be volume, bind, tmpfs, npipe, or cluster")
    for other in ("tmpfs", "bind", "volume"):
        if other != kind and each.get(other):
            raise Invalid(f"{other} options are incompatible with type {kind}")
    mount: Json = {
        "Type": kind,
        "Source": each.get("source", ""),
        "Target": each.get("target", ""),
        "ReadOnly": each.get("read_only", False),
        "Consistency": each.get("consistency", ""),
    }
    if kind == "bind" and each.get("bind"):
        mount["BindOptions"] = {"Propagation": each["bind"].get("propagation", "")}
    if kind == "tmpfs":
        if mount["Source"]:
            raise Invalid("invalid tmpfs source, source must be empty")
        if each.get("tmpfs"):
            mount["TmpfsOptions"] = {"SizeBytes": each["tmpfs"].get("size", 0)}
    if kind == "volume" and mount["Source"]:
        _set_volume(stack, config, mount, each)
    return mount


def _set_volume(stack: Stack, config: Json, mount: Json, each: Json) -> None:
    """Fill in a named volume's real name and options."""
    source = mount["Source"]
    volumes = config.get("volumes") or {}
    if source not in volumes:
        raise Invalid(f'undefined volume "{source}"')
    volume = volumes[source] or {}
    mount["Source"] = volume.get("name") or stack.scoped(source)
    options: Json = {"NoCopy": (each.get("volume") or {}).get("nocopy", False)}
    if not volume.get("external"):
        options["Labels"] = stack.labelled(volume.get("labels"))
        if volume.get("driver") or volume.get("driver_opts"):
            options["DriverConfig"] = {
                "Name": volume.get("driver", ""),
                "Options": volume.get("driver_opts") or {},
            }
    mount["VolumeOptions"] = options


def _ulimits(given: Mapping[str, Any]) -> list[Json]:
    found = []
    for name in sorted(given):
        limit = given[name]
        both = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
        found.append({"Name": name, "Soft": both.get("soft", 0), "Hard": both.get("hard", 0)})
    return found


def _health(check: Json | None) -> Json | None:
    if check is None:
        return None
    if check.get("disable"):
        if check.get("test"):
            raise Invalid("test and disable can't be set at the same time")
        return {"Test": ["NONE"]}
    members = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start_period",
               "StartInterval": "start_interval"}  # fmt: skip
    spans = {member: int(check.get(name, 0)) for member, name in members.items()}
    return {"Test": check.get("test") or [], "Retries": int(check.get("retries", 0)), **spans}


def _resources(given: Json) -> Json:
    found: Json = {}
    for name, member in (("limits", "Limits"), ("reservations", "Reservations")):
        each = given.get(name)
        if each is None:
            continue
        found[member] = {
            "NanoCPUs": cpus(each["cpus"]) if each.get("cpus") else 0,
            "MemoryBytes": int(each.get("memory", 0)),
        }
        if each.get("pids"):
            found[member]["Pids"] = each["pids"]
        found[member] |= _generic(each.get("generic_resources") or ())
    return found


def _generic(given: Iterable[Json]) -> Json:
    specs = [each.get("discrete_resource_spec") or {} for each in given]
    if not specs:
        return {}
    return {
        "GenericResources": [
            {"DiscreteResourceSpec": {"Kind": each.get("kind", ""), "Value": each.get("value", 0)}}
            for each in specs
        ]
    }


def _restart(word: str, policy: Json | None) -> Json | None:
    if policy is not None:
        found: Json = {"Condition": policy.get("condition", "")}
        members = {"Delay": "delay", "MaxAttempts": "max_attempts", "Window": "window"}
        found |= {member: int(policy[name]) for member, name in members.items() if name in policy}
        return found
    known = restart_policy(word)
    name = known.get("Name", "no")
    if name in ("always", "unless-stopped"):
        return {"Condition": "any"}
    if name == "on-failure":
        return {"Condition": "on-failure", "MaxAttempts": known.get("MaximumRetryCount", 0)}
    if name == "no":
        return None
    raise Invalid(f"unknown restart policy: {word}")


def _placement(given: Json) -> Json:
    return {
        "Constraints": given.get("constraints") or [],
        "Preferences": [{"Spread": {"SpreadDescriptor": each.get("spread", "")}}
                        for each in given.get("preferences") or ()],
        "MaxReplicas": given.get("max_replicas_per_node", 0),
    }  # fmt: skip


def _attachments(stack: Stack, config: Json, name: str, service: Json) -> list[Json]:
    defined = config.get("networks") or {}
    wanted: Mapping[str, Json | None] = service.get("networks") or {_DEFAULT: None}
    found = []
    for network, how in wanted.items():
        if network not in defined and network != _DEFAULT:
            raise Invalid(f'undefined network "{network}"')
        target = (defined.get(network) or {}).get("name") or stack.scoped(network)
        aliases = list((how or {}).get("aliases") or ())
        if is_user_defined(target):
            aliases.append(name)
        options = (how or {}).get("driver_opts") or {}
        found.append({"Target": target, "Aliases": aliases, "DriverOpts": options})
    return sorted(found, key=lambda each: str(each["Target"]))


def _log_driver(logging: Json | None) -> Json | None:
    if logging is None:
        return None
    return {"Name": logging.get("driver", ""), "Options": logging.get("options") or {}}


def _mode(deploy: Json) -> Json:
    word, replicas = deploy.get("mode", ""), deploy.get("replicas")
    if word in ("global", "global-job"):
        if replicas is not None:
            raise Invalid(_ADDS)
        return {"Global": {}} if word == "global" else {"GlobalJob": {}}
    if word == "replicated-job":
        counted = {"MaxConcurrent": replicas, "TotalCompletions": replicas}
        return {"ReplicatedJob": {} if replicas is None else counted}
    if word in ("replicated", ""):
        return {"Replicated": {} if replicas is None else {"Replicas": replicas}}
    raise Invalid(f"Unknown mode: {word}")


def _rollout(given: Json | None) -> Json | None:
    if given is None:
        return None
    found: Json = {
        "Parallelism": given.get("parallelism", 1),
        "FailureAction": given.get("failure_action", ""),
        "MaxFailureRatio": given.get("max_failure_ratio", 0),
        "Order": given.get("order", ""),
    }
    spans = {"Delay": "delay", "Monitor": "monitor"}
    return found | {member: int(given[name]) for member, name in spans.items() if name in given}


def _port(port: Json) -> Json:
    return {
        "Protocol": port.get("protocol", ""),
        "TargetPort": port.get("target", 0),
        "PublishedPort": port.get("published", 0),
        "PublishMode": port.get("mode", ""),
    }


__all__ = ["IMAGE", "NAMESPACE", "Stack", "is_user_defined", "networks",
           "payload_wishes", "payloads", "service_spec"]  # fmt: skip
