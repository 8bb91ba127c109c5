"""The commands that docker does not have, and the modules that do them."""

from __future__ import annotations

import msgspec


class Verb(msgspec.Struct, frozen=True):
    """A subcommand of Skep's own: a line of help, and the module whose ``run`` does it."""

    summary: str
    module: str


VERBS = {
    "lab": Verb("a cluster of hosts on this machine, to try and to test", "skep.cli.lab"),
    "trace": Verb("show the way of a packet, and where it is lost", "skep.cli.trace"),
    "doctor": Verb("look for what is wrong with the hosts", "skep.cli.doctor"),
    "top": Verb("hosts, services and networks, as they change", "skep.cli.top"),
    "net": Verb("networks, and with ls --tree all that is on them", "skep.cli.net"),
    "flows": Verb("who talks to whom, by names", "skep.cli.flows"),
    "topology": Verb("draw the cluster", "skep.cli.topology"),
    "page": Verb("say where the page is that draws the cluster as it changes", "skep.cli.page"),
    "hold": Verb("leave a host's kernel as it is for a while", "skep.cli.hold"),
    "rotate-keys": Verb("have all hosts change the keys of their tunnels", "skep.cli.rotate"),
    "completion": Verb("make bash, zsh or fish complete skep's commands", "skep.cli.completion"),
}
