"""What compose files of version 3 may say: the members of each object, since which version, and
what they are. Source: the schemas config_schema_v3.0 to v3.13.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from skep.cli.syntax.ports import short_form
from skep.cli.syntax.quantities import duration
from skep.model.errors import Invalid

LATEST = 13
_NAME = re.compile(r"[a-zA-Z0-9._-]+")


class Leaf(msgspec.Struct, frozen=True):
    """A plain value of one of these JSON types; ``form`` is a format or the words it may be."""

    types: tuple[str, ...]
    form: str | tuple[str, ...] = ""


class Items(msgspec.Struct, frozen=True):
    """A list."""

    rule: Rule
    unique: bool = False


class Named(msgspec.Struct, frozen=True):
    """A mapping from names that users choose; ``strict`` about the letters in them. Its values
    may be null if ``nullable``."""

    rule: Rule
    strict: bool = True
    nullable: bool = False


class Object(msgspec.Struct, frozen=True):
    """A mapping with known members, each with the version that brought it. ``extensions`` is the
    version since which members that begin with "x-" are let through; ``loose`` since which all."""

    members: Mapping[str, tuple[Rule, int]]
    nullable: bool = False
    required: tuple[str, ...] = ()
    extensions: int = LATEST + 1
    loose: int = LATEST + 1


class Either(msgspec.Struct, frozen=True):
    """One of these, each since a version."""

    choices: tuple[tuple[Rule, int], ...]


Rule: TypeAlias = Leaf | Items | Named | Object | Either


def _members(*groups: tuple[Rule, int, str]) -> dict[str, tuple[Rule, int]]:
    return {name: (rule, since) for rule, since, names in groups for name in names.split()}


def _either(*rules: Rule) -> Either:
    return Either(tuple((rule, 0) for rule in rules))


_TEXT = Leaf(("string",))
_NUMBER = Leaf(("number",))
_INTEGER = Leaf(("integer",))
_SWITCH = Leaf(("boolean",))
_DURATION = Leaf(("string",), "duration")
_TEXTS = Items(_TEXT)
_SET = Items(_TEXT, unique=True)
_TEXT_OR_SET = _either(_TEXT, _SET)
_COMMAND = _either(_TEXT, _TEXTS)
_MAP_OR_SET = _either(Named(Leaf(("string", "number", "null")), strict=False), _SET)
_OPTIONS = Named(Leaf(("string", "number")), strict=False)
_EXTERNAL = _either(_SWITCH, Object(_members((_TEXT, 0, "name"))))
_FILE = _either(_TEXT, Object(_members((_TEXT, 0, "source target uid gid"), (_NUMBER, 0, "mode")),
                              loose=0))  # fmt: skip
_ROLLOUT = Object(_members(
    (_INTEGER, 0, "parallelism"), (_DURATION, 0, "delay monitor"), (_TEXT, 0, "failure_action"),
    (_NUMBER, 0, "max_failure_ratio"),
    (Leaf(("string",), ("start-first", "stop-first")), 4, "order")))  # fmt: skip
_DISCRETE = Object(_members((_TEXT, 0, "kind"), (_NUMBER, 0, "value")))
_RESOURCES = Object(_members(
    (Object(_members((_TEXT, 0, "cpus memory"), (_INTEGER, 9, "pids"))), 0, "limits"),
    (Object(_members(
        (_TEXT, 0, "cpus memory"),
        (Items(Object(_members((_DISCRETE, 0, "discrete_resource_spec")))), 5,
         "generic_resources"))), 0, "reservations")))  # fmt: skip
_PLACEMENT = Object(_members(
    (_TEXTS, 0, "constraints"), (_INTEGER, 8, "max_replicas_per_node"),
    (Items(Object(_members((_TEXT, 0, "spread")))), 3, "preferences")))  # fmt: skip
_DEPLOY = Object(_members(
    (_TEXT, 0, "mode"), (_INTEGER, 0, "replicas"), (_MAP_OR_SET, 0, "labels"),
    (_ROLLOUT, 0, "update_config"), (_ROLLOUT, 7, "rollback_config"), (_RESOURCES, 0, "resources"),
    (Object(_members((_TEXT, 0, "condition"), (_DURATION, 0, "delay window"),
                     (_INTEGER, 0, "max_attempts"))), 0, "restart_policy"),
    (_PLACEMENT, 0, "placement"), (_TEXT, 2, "endpoint_mode")), nullable=True)  # fmt: skip
_HEALTH = Object(_members(
    (_SWITCH, 0, "disable"), (_DURATION, 0, "interval timeout"), (_NUMBER, 0, "retries"),
    (_COMMAND, 0, "test"), (_DURATION, 4, "start_period"),
    (_DURATION, 12, "start_interval")))  # fmt: skip
_BUILD = _either(_TEXT, Object(_members(
    (_TEXT, 0, "context dockerfile"), (_MAP_OR_SET, 0, "args"), (_SET, 2, "cache_from"),
    (_MAP_OR_SET, 3, "labels"), (_TEXT, 4, "network target"),
    (Leaf(("integer", "string")), 5, "shm_size"), (_MAP_OR_SET, 9, "extra_hosts")),
    loose=11))  # fmt: skip
_PORT = Either((
    (Leaf(("string", "number"), "ports"), 0),
    (Object(_members((_TEXT, 0, "mode protocol"), (_INTEGER, 0, "target published"))), 2),
))  # fmt: skip
_MOUNT = Object(_members(
    (_TEXT, 0, "type source target consistency"), (_SWITCH, 0, "read_only"),
    (Object(_members((_TEXT, 0, "propagation")), loose=0), 0, "bind"),
    (Object(_members((_SWITCH, 0, "nocopy")), loose=0), 0, "volume"),
    (Object(_members((_INTEGER, 0, "size")), loose=0), 6, "tmpfs")),
    required=("type",))  # fmt: skip
_NETWORKS = _either(_SET, Named(Object(_members(
    (_SET, 0, "aliases"), (_TEXT, 0, "ipv4_address ipv6_address"),
    (_OPTIONS, 13, "driver_opts"))), nullable=True))  # fmt: skip
_ULIMIT = _either(_INTEGER, Object(_members((_INTEGER, 0, "soft hard")),
                                   required=("soft", "hard")))  # fmt: skip
_LOGGING = Object(
    _members(
        (_TEXT, 0, "driver"),
        (Named(Leaf(("string", "number", "null")), strict=False), 0, "options"),
    )
)
_SERVICE = Object(
    _members(
        (_DEPLOY, 0, "deploy"), (_BUILD, 0, "build"),
        (_SET, 0, "cap_add cap_drop devices external_links links security_opt depends_on"),
        (_TEXT, 0, "cgroup_parent container_name domainname hostname image ipc mac_address "
                   "network_mode restart stop_signal user userns_mode working_dir"),
        (_TEXT, 9, "cgroupns_mode"), (_TEXT, 5, "isolation"), (_COMMAND, 0, "command entrypoint"),
        (Items(_FILE), 3, "configs"), (Items(_FILE), 1, "secrets"),
        (Object({"file": (_TEXT, 0), "registry": (_TEXT, 0), "config": (_TEXT, 8)}), 3,
         "credential_spec"),
        (_TEXT_OR_SET, 0, "dns dns_search env_file tmpfs"),
        (_MAP_OR_SET, 0, "environment extra_hosts labels sysctls"),
        (Items(Leaf(("string", "number")), unique=True), 0, "expose"),
        (_HEALTH, 0, "healthcheck"), (_SWITCH, 7, "init"), (_LOGGING, 0, "logging"),
        (_NETWORKS, 0, "networks"), (Leaf(("string", "null")), 0, "pid"),
        (Items(_PORT, unique=True), 0, "ports"),
        (_SWITCH, 0, "privileged read_only stdin_open tty"),
        (Leaf(("number", "string")), 0, "shm_size"), (_DURATION, 0, "stop_grace_period"),
        (Named(_ULIMIT, strict=False), 0, "ulimits"), (_INTEGER, 13, "oom_score_adj"),
        (Items(Either(((_TEXT, 0), (_MOUNT, 2)))), 0, "volumes"),
    ),
    extensions=7,
)  # fmt: skip
_NETWORK = Object(
    _members(
        (_TEXT, 5, "name"), (_TEXT, 0, "driver"), (_OPTIONS, 0, "driver_opts"),
        (_EXTERNAL, 0, "external"), (_SWITCH, 0, "internal"), (_SWITCH, 2, "attachable"),
        (_MAP_OR_SET, 0, "labels"),
        (Object(_members((_TEXT, 0, "driver"),
                         (Items(Object(_members((_TEXT, 0, "subnet")))), 0, "config"))), 0, "ipam"),
    ),
    nullable=True, extensions=7,
)  # fmt: skip
_VOLUME = Object(
    _members((_TEXT, 4, "name"), (_TEXT, 0, "driver"), (_OPTIONS, 0, "driver_opts"),
             (_EXTERNAL, 0, "external"), (_MAP_OR_SET, 0, "labels")),
    nullable=True, extensions=7,
)  # fmt: skip
_PAYLOAD = ((_TEXT, 5, "name"), (_TEXT, 0, "file"), (_EXTERNAL, 0, "external"),
            (_MAP_OR_SET, 0, "labels"), (_TEXT, 8, "template_driver"))  # fmt: skip
_SECRET = Object(_members(*_PAYLOAD, (_TEXT, 8, "driver"), (_OPTIONS, 8, "driver_opts")),
                 extensions=7)  # fmt: skip
_CONFIG = Object(_members(*_PAYLOAD), extensions=7)
FILE = Object(
    _members((_TEXT, 0, "version"), (Named(_SERVICE), 0, "services"),
             (Named(_NETWORK), 0, "networks"), (Named(_VOLUME), 0, "volumes"),
             (Named(_SECRET), 1, "secrets"), (Named(_CONFIG), 3, "configs")),
    extensions=4,
)  # fmt: skip


def minor_version(document: Mapping[str, Any]) -> int:
    """The n of a file's version 3.n; the latest if it says none. Raises `Invalid`."""
    version = document.get("version", f"3.{LATEST}")
    if not isinstance(version, str):
        raise Invalid("version must be a string")
    if version in ("3", ""):
        return LATEST
    found = re.fullmatch(r"3\.(\d+)", version)
    if found is None or int(found[1]) > LATEST:
        raise Invalid(f"unsupported Compose file version: {version}")
    return int(found[1])


def validate(document: Mapping[str, Any], version: int) -> None:
    """Raises `Invalid` in docker's words for the first thing that a file may not say."""
    _Check(version).check(document, FILE, ())


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
    "mapping": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
}


def _types(rule: Rule) -> tuple[str, ...]:
    if isinstance(rule, Leaf):
        return rule.types
    if isinstance(rule, Items):
        return ("list",)
    nullable = isinstance(rule, Object) and rule.nullable
    return ("mapping", "null") if nullable else ("mapping",)


class _Check:
    def __init__(self, version: int) -> None:
        self._version = version

    def check(self, value: Any, rule: Rule, path: tuple[str, ...]) -> None:
        if isinstance(rule, Either):
            rule = self._choice(value, rule)
        types = _types(rule)
        if not any(_TYPES[each](value) for each in types):
            shown = f"{', '.join(types[:-1])} or {types[-1]}" if types[1:] else types[0]
            raise _fault(path, f"must be a {shown}")
        if isinstance(rule, Leaf):
            _check_form(value, rule, path)
        elif isinstance(rule, Items):
            self._items(value, rule, path)
        elif isinstance(rule, Named):
            self._named(value, rule, path)
        elif isinstance(rule, Object) and value is not None:
            self._object(value, rule, path)

    def _choice(self, value: Any, rule: Either) -> Rule:
        """The choice that the value looks like, else the first."""
        known = [choice for choice, since in rule.choices if since <= self._version]
        fitting = (each for each in known if any(_TYPES[kind](value) for kind in _types(each)))
        return next(fitting, known[0])

    def _items(self, value: list[Any], rule: Items, path: tuple[str, ...]) -> None:
        for place, item in enumerate(value):
            self.check(item, rule.rule, (*path, str(place)))
        for place, item in enumerate(value if rule.unique else ()):
            if item in value[:place]:
                raise _fault(path, f"array items[{value.index(item)},{place}] must be unique")

    def _named(self, value: Mapping[str, Any], rule: Named, path: tuple[str, ...]) -> None:
        for name, item in value.items():
            if rule.strict and not _NAME.fullmatch(name):
                raise _fault(path, f"Additional property {name} is not allowed")
            if item is not None or not rule.nullable:
                self.check(item, rule.rule, (*path, name))

    def _object(self, value: Mapping[str, Any], rule: Object, path: tuple[str, ...]) -> None:
        for name in rule.required:
            if name not in value:
                raise _fault(path, f"{name} is required")
        for name in sorted(value):
            inner, since = rule.members.get(name, (_TEXT, LATEST + 1))
            if since <= self._version:
                self.check(value[name], inner, (*path, name))
            elif not (name.startswith("x-") and rule.extensions <= self._version) and not (
                rule.loose <= self._version
            ):
                raise _fault(path, f"Additional property {name} is not allowed")


def _fault(path: Iterable[str], complaint: str) -> Invalid:
    return Invalid(f"{'.'.join(path) or '(root)'} {complaint}")


def _check_form(value: Any, rule: Leaf, path: tuple[str, ...]) -> None:
    if isinstance(rule.form, tuple):
        if value not in rule.form:
            words = ", ".join(f'"{word}"' for word in rule.form)
            where = ".".join(path)
            raise _fault(path, f"{where} must be one of the following: {words}")
        return
    readers: Mapping[str, Callable[[str], Any]] = {"duration": duration, "ports": short_form}
    if rule.form:
        try:
            readers[rule.form](str(value))
        except Invalid as fault:
            raise _fault(path, f"Does not match format '{rule.form}'") from fault
