"""A fault for `test_doctor`: what somebody does to a host, what is asked, what must be said."""

from collections.abc import Callable
from dataclasses import dataclass

LOST, DOUBTFUL, UNKNOWN = 3, 4, 5
"""Exit codes of ``skep trace``."""

WEB = ("client", "web")
PORT = ("h1", "h3:8080")
MESH_PORT, CLUSTER_PORT = 7946, 2377


@dataclass(frozen=True)
class Fault:
    """``host`` is held and damaged; ``hop`` is the host at which it shows. ``where`` and ``why``
    give what the verdict must contain."""

    host: str
    damage: Callable
    where: Callable
    why: Callable
    ask: tuple = WEB
    hop: str = ""
    code: int = LOST
    mend: Callable | None = None
    lingers: bool = False


def overlay(host):
    return lambda lab: f"{lab.bridge} (network app) on {host}"


def client(lab):
    return f"{lab.client_box} (client) on h1"


def web(lab):
    return f"{lab.web_box} (web.1) on h2"


def host_space(host):
    return lambda lab: f"the host's namespace on {host}"


def text(words):
    return lambda lab: words


def mac(lab):
    """The MAC of web's task on the network."""
    address = lab.ip("h2", lab.container("h2", "web"))
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def ip(lab):
    return lab.ip("h2", lab.container("h2", "web"))


def do(host, namespace, command):
    """Run a command in a namespace; the words in braces are the lab's, or of the functions here."""

    def damage(lab):
        name = getattr(lab, namespace, namespace)
        facts = {"mac": mac, "ip": ip, "vip": vip, "peer": lambda lab: lab.address("h2")}
        known = {word: tell(lab) for word, tell in facts.items() if f"{{{word}}}" in command}
        lab.inside_of(host, name, command.format(**known))

    return damage


def vip(lab):
    return lab.docker(
        "h1", "service", "inspect", "-f", "{{(index .Endpoint.VirtualIPs 1).Addr}}", "web"
    ).partition("/")[0]  # fmt: skip


def web_port(lab):
    """The port of the overlay's bridge on h2 that web's task is plugged into."""
    inner = lab.inside_of("h2", lab.web_box, "ip -o link").splitlines()
    ends = [line.split("@if")[1].split(":")[0] for line in inner if mac(lab) in line]
    ports = lab.inside_of("h2", lab.bridge, "ip -o link").splitlines()
    return next(
        line.split(": ")[1].split("@")[0] for line in ports if line.startswith(f"{ends[0]}: ")
    )


def on_port(command):
    return lambda lab: lab.inside_of("h2", lab.bridge, command.format(port=web_port(lab)))


def guarded(hook, rule):
    """A firewall of the administrator's in the host's namespace."""
    chain = f"add chain inet guard c {{ type filter hook {hook} priority 0; }}"
    return f'nft "add table inet guard; {chain}; add rule inet guard c {rule}"'


def foreign(host, hook, rule):
    """(damage, mend) by a table that is not Skep's."""
    return (
        lambda lab: lab.inside_of(host, "", guarded(hook, rule)),
        lambda lab: lab.inside_of(host, "", "nft delete table inet guard"),
    )


def foreign_fault(host, hook, rule, **fields):
    damage, mend = foreign(host, hook, rule)
    return Fault(host=host, damage=damage, mend=mend, **fields)
