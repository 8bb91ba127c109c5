"""What to tell a firewall so that it lets packets through, in the words of the program whose rules
stop them: ufw and firewalld would write over what is put beside theirs."""

from __future__ import annotations

from skep.plan.journey import Flow, RuleAt
from skep.trace.scene import Host


def program(host: Host, namespace: str, rule: RuleAt) -> str:
    """``"ufw"``, ``"firewalld"`` or "", told by the names that these give to tables and chains."""
    if (rule.family, rule.table) == ("inet", "firewalld"):
        return "firewalld"
    for table in host.inside(namespace).foreign:
        if (table.family, table.name) == (rule.family, rule.table):
            return "ufw" if any(each.name.startswith("ufw") for each in table.chains) else ""
    return ""


def through(host: Host, namespace: str, rule: RuleAt, bridge: str, way: str) -> str:
    """The command that lets pass what goes ``"in"`` from a bridge, or ``"out"`` to it."""
    match program(host, namespace, rule):
        case "ufw":
            return f"ufw route allow {way} on {bridge}"
        case "firewalld":
            return _firewalld(f"--zone=trusted --add-interface={bridge}")
        case _:
            return f'{_insert(rule)} {way[0]}ifname "{bridge}" accept'


def to_port(host: Host, namespace: str, rule: RuleAt, flow: Flow) -> str:
    """The command that opens the host's port that a flow is for."""
    match program(host, namespace, rule):
        case "ufw":
            return f"ufw allow {flow.target_port}/{flow.protocol}"
        case "firewalld":
            return _firewalld(f"--add-port={flow.target_port}/{flow.protocol}")
        case _:
            return f"{_insert(rule)} {flow.protocol} dport {flow.target_port} accept"


def _insert(rule: RuleAt) -> str:
    return f"nft insert rule {rule.family} {rule.table} {rule.chain}"


def _firewalld(change: str) -> str:
    return f"firewall-cmd --permanent {change} && firewall-cmd --reload"
