"""``skep completion``: the shells' scripts, and the words that they offer.

The scripts ask this program for every word, so that they never know less than its table of
commands. Names of objects come from the API, if it answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from skep.cli import catalog
from skep.cli.api import Api
from skep.cli.command import Command
from skep.cli.flags import Flag
from skep.cli.own import VERBS
from skep.cli.parser import Parser
from skep.cli.stack.convert import NAMESPACE
from skep.model.errors import Refusal

_PATIENCE = 1.0
_LAB = ("cut", "down", "exec", "heal", "reboot", "sock", "status", "up")
_SCRIPTS = {
    "bash": """\
# For ~/.bashrc:  eval "$(skep completion bash)"
_skep() {
    local line=${COMP_LINE:0:COMP_POINT} last head IFS=$' \\t'
    local -a typed=($line)
    last=${line##*[[:space:]]}
    [ -n "$last" ] || typed+=('')
    IFS=$'\\n'
    COMPREPLY=($(skep completion words "${typed[@]:1}" 2>/dev/null))
    # bash breaks words at colons, and wants only what follows the last one.
    head=${last%"${last##*:}"}
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -o default -F _skep skep
""",
    "zsh": """\
#compdef skep
# For ~/.zshrc, after compinit:  source <(skep completion zsh)
_skep() {
    local -a found
    found=("${(@f)$(skep completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    [ -n "$found" ] && compadd -- "${found[@]}" || _files
}
compdef _skep skep
""",
    "fish": """\
# For ~/.config/fish/config.fish:  skep completion fish | source
complete -c skep -a '(skep completion words (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}


def run(arguments: Sequence[str]) -> int:
    """Print a shell's script, or (``words``, for the scripts) what may follow words."""
    if arguments and arguments[0] == "words":
        print("\n".join(candidates(arguments[1:])))
        return 0
    parser = Parser(
        prog="skep completion",
        description="Print what makes a shell complete skep's commands, options and names.",
    )
    parser.add_argument("shell", choices=list(_SCRIPTS), metavar="bash|zsh|fish")
    print(_SCRIPTS[parser.parse_args(list(arguments)).shell], end="")
    return 0


def candidates(words: Sequence[str]) -> list[str]:
    """What the last word, of which the beginning is typed, may become; sorted."""
    *before, current = words or [""]
    host = ""
    while before and before[0].startswith("-"):
        option = before.pop(0)
        if option in ("-H", "--host") and before:
            host = before.pop(0)
    return sorted(word for word in _offered(before, current, host) if word.startswith(current))


def _offered(before: Sequence[str], current: str, host: str) -> Iterable[str]:
    if not before:
        return (*VERBS, *catalog.GROUPS, *catalog.SHORT_FORMS)
    first = before[0]
    if first == "lab":
        return _LAB if len(before) == 1 else ()
    if first in catalog.SHORT_FORMS:
        return _of_command(catalog.short_form(first), before[1:], current, host)
    if first not in catalog.GROUPS:
        return _SCRIPTS if first == "completion" else ()
    if len(before) == 1:
        return [command.name for command in catalog.shown_commands(first)]
    command = catalog.find(first, before[1])
    return _of_command(command, before[2:], current, host) if command else ()


def _of_command(command: Command, before: Sequence[str], current: str, host: str) -> Iterable[str]:
    if current.startswith("-"):
        return [f"--{flag.name}" for flag in command.flags]
    if before and _wants_value(before[-1], command.flags):
        return ()
    return names(command.completes, host)


def _wants_value(word: str, flags: Iterable[Flag]) -> bool:
    if not word.startswith("-") or "=" in word:
        return False
    for flag in flags:
        if word == f"--{flag.name}" or (flag.short and word.endswith(flag.short)
                                        and not word.startswith("--")):  # fmt: skip
            return not flag.spelling.switch
    return False


_Lister = Callable[[Any], Iterable[str]]


def _spec_names(found: Any) -> Iterable[str]:
    return [each["Spec"]["Name"] for each in found]


_NAMES: dict[str, tuple[str, _Lister]] = {
    "config": ("/configs", _spec_names),
    "container": ("/containers/json?all=1",
                  lambda found: [each["Names"][0].lstrip("/") for each in found]),
    "image": ("/images/json", lambda found: [tag.removeprefix("docker.io/library/")
                                             for each in found for tag in each["RepoTags"] or ()]),
    "network": ("/networks", lambda found: [each["Name"] for each in found]),
    "node": ("/nodes", lambda found: [each["Description"]["Hostname"] for each in found]),
    "secret": ("/secrets", _spec_names),
    "service": ("/services", _spec_names),
    "stack": ("/services", lambda found: {each["Spec"].get("Labels", {}).get(NAMESPACE, "")
                                          for each in found} - {""}),
    "volume": ("/volumes", lambda found: [each["Name"] for each in found["Volumes"] or ()]),
}  # fmt: skip


def names(kind: str, host: str) -> Iterable[str]:
    """The names of a kind of object, none if the API does not answer soon."""
    if kind not in _NAMES:
        return ()
    path, lister = _NAMES[kind]
    try:
        return lister(Api(host, _PATIENCE).get(path))
    except (Refusal, OSError, LookupError, TypeError):
        return ()
