"""Ports: ``8080:80/udp``, ranges, and the long form ``published=8080,target=80``."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec

from skep.cli.syntax.numbers import port_number
from skep.model.errors import Invalid

_PROTOCOLS = ("tcp", "udp", "sctp")
_MODES = ("ingress", "host")
_LONG = re.compile(r"\w+=\w+(,\w+=\w+)*")


class Binding(msgspec.Struct, frozen=True):
    """A container's port and where on the host it appears: an address or "", and a port, a range
    of ports ("8000-8010") or ""."""

    port: int
    protocol: str = "tcp"
    address: str = ""
    host_port: str = ""


def port_range(text: str) -> tuple[int, int]:
    """First and last port. Raises `Invalid`."""
    if not text:
        raise Invalid("empty string specified for ports")
    first, dash, last = text.partition("-")
    try:
        start = port_number(first)
        end = port_number(last) if dash else start
    except Invalid as reason:
        raise Invalid(f'strconv.ParseUint: parsing "{text}": {reason}') from reason
    if end < start:
        raise Invalid(f"invalid range specified for port: {text}")
    return start, end


def short_form(text: str) -> list[Binding]:
    """``[[address:]host:]container[/protocol]``, each a port or a range. Source: go-connections."""
    rest, slash, protocol = text.partition("/")
    address, host, container = _parts(rest)
    if slash and not protocol:
        raise Invalid(f"invalid proto: {protocol}")
    protocol = (protocol or "tcp").lower()
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError as fault:
            raise Invalid(f"invalid IP address: {address}") from fault
    if not container:
        raise Invalid(f"no port specified: {text}<empty>")
    start, end = _checked_range(container, "invalid containerPort")
    host_start, host_end = _checked_range(host, "invalid hostPort") if host else (0, 0)
    spread = start == end and host_start != host_end
    if host and not spread and end - start != host_end - host_start:
        raise Invalid(
            f"invalid ranges specified for container and host Ports: {container} and {host}"
        )
    if protocol not in _PROTOCOLS:
        raise Invalid(f"invalid proto: {protocol}")

    def host_port(offset: int) -> str:
        if not host:
            return ""
        return f"{host_start}-{host_end}" if spread else str(host_start + offset)

    return [
        Binding(port, protocol, address, host_port(port - start)) for port in range(start, end + 1)
    ]


def _parts(text: str) -> tuple[str, str, str]:
    """Address, host's port and container's port; an address may have colons or brackets."""
    front, _, container = text.rpartition(":")
    if not front:
        return "", "", container
    address, _, host = front.rpartition(":")
    return address.removeprefix("[").removesuffix("]"), host, container


def _checked_range(text: str, complaint: str) -> tuple[int, int]:
    try:
        return port_range(text)
    except Invalid as fault:
        raise Invalid(f"{complaint}: {text}") from fault


def service_ports(text: str) -> list[dict[str, Any]]:
    """What ``--publish`` of a service asks for: PortConfigs of the API."""
    if _LONG.search(text):
        return [_long_form(text)]
    bindings = short_form(text)
    if any(binding.address for binding in bindings):
        raise Invalid("hostip is not supported")
    return [config for binding in bindings for config in port_configs(binding)]


def port_configs(binding: Binding) -> list[dict[str, Any]]:
    """A binding as PortConfigs, one for each port on the host."""
    start, end = port_range(binding.host_port) if binding.host_port else (0, 0)
    return [
        _config(binding.protocol, binding.port, published, "ingress")
        for published in range(start, end + 1)
    ]


def _config(protocol: str, target: int, published: int, mode: str) -> dict[str, Any]:
    return {
        "Protocol": protocol,
        "TargetPort": target,
        "PublishedPort": published,
        "PublishMode": mode,
    }


def _long_form(text: str) -> dict[str, Any]:
    protocol, mode, target, published = "tcp", "ingress", 0, 0
    for field in text.split(","):
        key, given, value = field.partition("=")
        key = key.lower()
        if not given or not key:
            raise Invalid(f"invalid field: {field}")
        if key == "protocol":
            if value not in _PROTOCOLS:
                raise Invalid(f"invalid protocol value '{value}'")
            protocol = value
        elif key == "mode":
            if value not in _MODES:
                raise Invalid(f"invalid publish mode value ({value}): must be either 'ingress' or "
                              "'host'")  # fmt: skip
            mode = value
        elif key == "target":
            target = _number("target", value)
        elif key == "published":
            published = _number("published", value)
        else:
            raise Invalid(f"invalid field key: {key}")
    if not target:
        raise Invalid("missing mandatory field 'target'")
    return _config(protocol, target, published, mode)


def _number(which: str, value: str) -> int:
    try:
        return port_number(value)
    except Invalid as reason:
        raise Invalid(
            f"invalid {which} port ({value}): value must be an integer: {reason}"
        ) from reason


def container_ports(words: list[str]) -> list[Binding]:
    """What ``--publish`` of a container asks for. Raises `Invalid`."""
    return [binding for word in words for binding in short_form(_standard(word))]


def _standard(word: str) -> str:
    """The short form of a port in the long form."""
    if "=" not in word:
        return word
    fields = {"protocol": "tcp"}
    for field in word.split(","):
        key, given, value = field.partition("=")
        if not given or not key:
            raise Invalid(f"invalid publish opts format (should be name=value but got '{field}')")
        fields[key] = value
    return f"{fields.get('published', '')}:{fields.get('target', '')}/{fields['protocol']}"
