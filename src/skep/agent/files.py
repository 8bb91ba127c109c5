"""The two files that give a container its names: /etc/hosts and /etc/resolv.conf. Pure text."""

from __future__ import annotations

from collections.abc import Sequence

from skep.agent.records import Record
from skep.model.naming import RESOLVER

LOCAL_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(record: Record) -> str:
    """The container's own addresses under its host name, then what the user added."""
    lines = [LOCAL_HOSTS]
    for entry in record.extra_hosts:
        name, _, address = entry.partition(":")
        lines.append(f"{address}\t{name}\n")
    host_name = record.hostname or record.id[:12]
    for endpoint in record.endpoints:
        if endpoint.id != record.gateway or len(record.endpoints) == 1:
            lines += [
                f"{address.partition('/')[0]}\t{host_name}\n"
                for address in (endpoint.address, endpoint.address6)
                if address
            ]
    return "".join(lines)


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
