"""``skep lab``: a cluster of hosts on this machine."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from skep.cli.parser import Parser
from skep.lab.layout import Lab, lab_named
from skep.model.errors import Invalid

_DEFAULT = "lab"
_Handler = Callable[[argparse.Namespace], int]


def run(arguments: Sequence[str]) -> int:
    """Do what follows ``skep lab``; the exit code."""
    before, command = _split(arguments)
    parser = _parser()
    options = parser.parse_args(before)
    if options.handler is not _exec:
        if command:
            parser.error(f"unexpected arguments: {' '.join(command)}")
    else:
        options.command = [*options.command, *command]
    handler: _Handler = options.handler
    return handler(options)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first "--", and what stands after: that is not ours to read."""
    words = list(arguments)
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def _parser() -> Parser:
    parser = Parser(
        prog="skep lab",
        description="A cluster of hosts on this machine: each with its own network, files and"
        "\nskepd, on an underlay without a way out.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", parser_class=Parser)
    _add_up(verbs)
    _add(verbs, "down", _down, "remove a lab and every trace of it").add_argument(
        "--all", action="store_true", help="all labs of this machine"
    )
    _add(verbs, "status", _status, "show the hosts of a lab, or of all labs")
    enter = _add(verbs, "exec", _exec, "run a command inside a host")
    enter.usage = "skep lab exec [--name NAME] HOST -- COMMAND..."
    enter.add_argument("host")
    enter.add_argument("command", nargs="*", metavar="COMMAND")
    _add(verbs, "sock", _sock, "print the path of a host's API socket").add_argument("host")
    reboot = _add(verbs, "reboot", _reboot, "end all of a host at once, and start it again")
    reboot.add_argument("host")
    reboot.add_argument("--wait", type=float, default=60.0, metavar="SECONDS",
                        help="how long its daemon may take to answer (default 60)")  # fmt: skip
    for name, handler, summary in (
        ("cut", _cut, "let no frame pass between two hosts"),
        ("heal", _heal, "undo cut"),
    ):
        verb = _add(verbs, name, handler, summary)
        verb.add_argument("one", metavar="HOST")
        verb.add_argument("other", metavar="HOST")
    return parser


def _add(verbs: argparse._SubParsersAction[Parser], name: str, handler: _Handler, summary: str
         ) -> Parser:  # fmt: skip
    verb = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    verb.add_argument("--name", metavar="NAME", help=f'which lab (default "{_DEFAULT}")')
    verb.set_defaults(handler=handler)
    return verb


def _add_up(verbs: argparse._SubParsersAction[Parser]) -> None:
    verb = _add(verbs, "up", _up, "make a lab, or continue with the one that is up")
    verb.add_argument("--hosts", type=int, metavar="N", help="how many hosts (default 3)")
    verb.add_argument("--daemon-option", action="append", default=[], metavar="OPTION",
                      help="an option more for each host's skepd, as in"
                      " --daemon-option=--node-generic-resource=gpu=2")  # fmt: skip
    verb.add_argument("--balancer", choices=("auto", "nft", "ipvs"), default="auto",
                      help="what shares connections out on the hosts (default auto)")  # fmt: skip
    verb.add_argument("--wait", type=float, default=60.0, metavar="SECONDS",
                      help="how long daemons may take to answer (default 60)")  # fmt: skip
    verb.add_argument("--no-images", action="store_true", help="do not build and load images")


def _lab(options: argparse.Namespace) -> Lab:
    return lab_named(_DEFAULT if options.name is None else options.name)


def _up(options: argparse.Namespace) -> int:
    from skep.cli.progress import progress  # noqa: PLC0415 - verbs load only what they need
    from skep.lab.init import default_command  # noqa: PLC0415
    from skep.lab.up import IMAGES, Wish, up  # noqa: PLC0415

    lab = _lab(options)
    wish = Wish(
        command=(*default_command(), "--balancer", options.balancer, *options.daemon_option),
        image_folder=_image_folder(),
        hosts=options.hosts,
        images=() if options.no_images else IMAGES,
        patience=options.wait,
    )
    with progress(f"lab {lab.name}") as tell:
        hosts = up(lab, wish, tell)
    chosen = "" if lab.name == _DEFAULT else f" --name {lab.name}"
    print(f"Lab {lab.name} is up with {len(hosts)} host{'s' if len(hosts) > 1 else ''}. Try:")
    client = "docker" if shutil.which("docker") else "skep"
    print(f"  {client} -H unix://$(skep lab sock{chosen} h1) info")
    print(f"  {client} -H unix://$(skep lab sock{chosen} h1) ps")
    return 0


def _image_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "skep" / "images"


def _down(options: argparse.Namespace) -> int:
    from skep.lab import system  # noqa: PLC0415
    from skep.lab.down import all_labs, down, exclusive  # noqa: PLC0415

    if options.all and options.name is not None:
        raise Invalid("--all and --name exclude each other")
    labs: tuple[Lab, ...] = () if options.all else (_lab(options),)
    system.require_root()
    with exclusive():
        for lab in labs or all_labs():
            print(f"Lab {lab.name} is gone." if down(lab) else f"There is no lab {lab.name}.")
    return 0


def _status(options: argparse.Namespace) -> int:
    from skep.cli.labstatus import show  # noqa: PLC0415
    from skep.lab.down import all_labs  # noqa: PLC0415
    from skep.lab.status import status  # noqa: PLC0415

    labs = all_labs() if options.name is None else (_lab(options),)
    if not labs:
        print("No lab is up.")
    for lab in labs:
        show(status(lab))
    return 0


def _exec(options: argparse.Namespace) -> int:
    from skep.lab.enter import enter  # noqa: PLC0415
    from skep.lab.status import find  # noqa: PLC0415

    if not options.command:
        Parser(prog="skep lab exec").error("say what to run: skep lab exec HOST -- COMMAND...")
    return enter(find(_lab(options), options.host), options.command)


def _sock(options: argparse.Namespace) -> int:
    from skep.lab.status import find  # noqa: PLC0415

    print(find(_lab(options), options.host).socket)
    return 0


def _reboot(options: argparse.Namespace) -> int:
    from skep.cli.progress import progress  # noqa: PLC0415
    from skep.lab.reboot import reboot  # noqa: PLC0415

    lab = _lab(options)
    with progress(f"lab {lab.name}") as tell:
        reboot(lab, options.host, options.wait, tell)
    print(f"{options.host} is up again.")
    return 0


def _cut(options: argparse.Namespace) -> int:
    return _between(options, "cut")


def _heal(options: argparse.Namespace) -> int:
    return _between(options, "heal")


def _between(options: argparse.Namespace, action: str) -> int:
    from skep.lab import switch, system  # noqa: PLC0415
    from skep.lab.status import find_pair  # noqa: PLC0415

    system.require_root()
    lab = _lab(options)
    if options.one == options.other:
        raise Invalid(f"{options.one} cannot be {action} from itself: name two hosts")
    one, other = find_pair(lab, options.one, options.other)
    {"cut": switch.cut, "heal": switch.heal}[action](lab, one, other)
    return 0
