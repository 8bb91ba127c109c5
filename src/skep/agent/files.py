"""The two files that give a container its names: /etc/hosts and /etc/resolv.conf. Pure text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from skep.agent.locals import GATEWAY_BRIDGE
from skep.agent.records import Record
from skep.model.naming import RESOLVER

HOST_GATEWAY = "host-gateway"
"""What stands for the host's own address in ``--add-host``."""

LOCAL_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(
    record: Record, host_gateway: str = "", links: Iterable[tuple[str, str]] = ()
) -> str:
    """The container's own addresses under its host name, what the user added, and the containers
    that it is linked to (``links``: address and names). ``host_gateway`` is the host's address for
    containers."""
    lines = [LOCAL_HOSTS]
    for entry in record.extra_hosts:
        name, _, address = entry.partition(":")
        if address == HOST_GATEWAY:
            address = host_gateway
        lines.append(f"{address.strip('[]')}\t{name}\n")
    lines += [f"{address}\t{names}\n" for address, names in links]
    host_name = record.hostname or record.id[:12]
    if domain := record.asked.get("Domainname"):
        host_name = f"{host_name}.{domain} {host_name}"
    for endpoint in record.endpoints:
        if endpoint.network_name != GATEWAY_BRIDGE or len(record.endpoints) == 1:
            lines += [
                f"{address.partition('/')[0]}\t{host_name}\n"
                for address in (endpoint.address, endpoint.address6)
                if address
            ]
    return "".join(lines)


def linked(record: Record, others: Iterable[Record]) -> list[tuple[str, str]]:
    """Addresses of the running containers that ``record`` is linked to, on the network that they
    share, with what it calls them."""
    known = list(others)
    found = []
    for network_id, text in _links(record):
        target, _, alias = text.partition(":")
        for other in known:
            if target.removeprefix("/") not in (other.name, other.id, other.id[:12]):
                continue
            names = dict.fromkeys((alias.rpartition("/")[2] or other.name, other.id[:12]))
            for endpoint in other.endpoints:
                if endpoint.network_id == network_id:
                    places = (endpoint.address, endpoint.address6)
                    found += [(p.partition("/")[0], " ".join(names)) for p in places if p]
    return found


def _links(record: Record) -> Iterator[tuple[str, str]]:
    """The links of a record, each with the id of the network that it is on."""
    default = (("default", "bridge"), record.links)
    wanted = [((item.network, item.network), item.links) for item in record.wanted]
    for names, links in (default, *wanted):
        for endpoint in record.endpoints:
            if endpoint.network_name in names or endpoint.network_id in names:
                yield from ((endpoint.network_id, link) for link in links)


def upstreams(host_resolv: str) -> tuple[str, ...]:
    """The name servers that the host's own resolv.conf text lists."""
    servers = []
    for line in host_resolv.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in servers:
            servers.append(words[1])
    return tuple(servers)


def search_domains(host_resolv: str) -> tuple[str, ...]:
    """The search list of the host's own resolv.conf text (the last one counts)."""
    found: Sequence[str] = ()
    for line in host_resolv.splitlines():
        words = line.split()
        if words and words[0] in ("search", "domain"):
            found = words[1:]
    return tuple(found)


def resolv_conf(record: Record, host_resolv: str) -> str:
    """Every name goes to skep-dns; search list as the user, else the host, has it."""
    search = record.search or search_domains(host_resolv)
    options = list(record.dns_options)
    if not any(option.startswith("ndots:") for option in options):
        options.append("ndots:0")
    lines = [f"nameserver {RESOLVER}"]
    if search and search != (".",):
        lines.append("search " + " ".join(search))
    lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"
