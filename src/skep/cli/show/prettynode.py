"""``node inspect --pretty``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from skep.cli.show.rows import first_upper
from skep.cli.show.times import go_text
from skep.cli.syntax.quantities import show_memory


def pretty_node(node: Mapping[str, Any]) -> str:
    """A node for the eye."""
    return "\n".join((*_head(node), *_state(node), *_machine(node), *_tls(node)))


def _head(node: Mapping[str, Any]) -> Iterator[str]:
    yield f"ID:\t\t\t{node['ID']}"
    spec = node.get("Spec", {})
    if spec.get("Name"):
        yield f"Name:\t\t\t{spec['Name']}"
    if spec.get("Labels"):
        yield "Labels:"
        yield from (f" - {key}={value}" if value else f" - {key}"
                    for key, value in sorted(spec["Labels"].items()))  # fmt: skip
    yield f"Hostname:              \t{node['Description'].get('Hostname', '')}"
    yield f"Joined at:             \t{go_text(node.get('CreatedAt', ''))}"


def _state(node: Mapping[str, Any]) -> Iterator[str]:
    status = node.get("Status", {})
    yield "Status:"
    yield f" State:\t\t\t{first_upper(status.get('State', ''))}"
    if status.get("Message"):
        yield f" Message:              \t{first_upper(status['Message'])}"
    yield f" Availability:         \t{first_upper(node.get('Spec', {}).get('Availability', ''))}"
    if status.get("Addr"):
        yield f" Address:\t\t{status['Addr']}"
    manager = node.get("ManagerStatus")
    if manager:
        yield "Manager Status:"
        yield f" Address:\t\t{manager.get('Addr', '')}"
        yield f" Raft Status:\t\t{first_upper(manager.get('Reachability', ''))}"
        yield f" Leader:\t\t{'Yes' if manager.get('Leader') else 'No'}"


def _machine(node: Mapping[str, Any]) -> Iterator[str]:
    description = node["Description"]
    platform, resources = description.get("Platform", {}), description.get("Resources", {})
    yield "Platform:"
    yield f" Operating System:\t{platform.get('OS', '')}"
    yield f" Architecture:\t\t{platform.get('Architecture', '')}"
    yield "Resources:"
    yield f" CPUs:\t\t\t{resources.get('NanoCPUs', 0) // 1_000_000_000}"
    yield f" Memory:\t\t{show_memory(resources.get('MemoryBytes', 0))}"
    engine = description.get("Engine", {})
    if engine.get("Plugins"):
        yield "Plugins:"
        yield from _plugins(engine["Plugins"])
    yield f"Engine Version:\t\t{engine.get('EngineVersion', '')}"
    if engine.get("Labels"):
        yield "Engine Labels:"
        yield from (f" - {key}={value}" if value else f" - {key}"
                    for key, value in sorted(engine["Labels"].items()))  # fmt: skip


def _plugins(plugins: list[Mapping[str, str]]) -> Iterator[str]:
    by_kind: dict[str, list[str]] = {}
    for plugin in plugins:
        by_kind.setdefault(plugin["Type"], []).append(plugin["Name"])
    for kind in ("Log", "Network", "Volume"):
        names = by_kind.get(kind)
        if names:
            yield f" {kind}:\t\t{', '.join(names)}"


def _tls(node: Mapping[str, Any]) -> Iterator[str]:
    info = node["Description"].get("TLSInfo") or {}
    if info.get("TrustRoot"):
        yield "TLS Info:"
        yield f" TrustRoot:\n{info['TrustRoot']}"
        yield f" Issuer Subject:\t{info.get('CertIssuerSubject', '')}"
        yield f" Issuer Public Key:\t{info.get('CertIssuerPublicKey', '')}"
