"""A command: what it is called, what it takes, and the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from skep.cli.api import Api
from skep.cli.flags import SWITCH, Flag, Options, options_parser, read_options
from skep.model.errors import Refusal

FAILED = 1
# What docker exits with when it could not make sense of options, or not start a container at all.
NOT_STARTED = 125


class Failure(Refusal):
    """A command ends with an exit code of its own; its words, if any, are printed as they are."""

    def __init__(self, words: str = "", code: int = FAILED) -> None:
        super().__init__(words)
        self.code = code


class Call(msgspec.Struct, frozen=True):
    """One use of a command: its name as typed ("service create"), options, arguments, the API."""

    name: str
    options: Options
    arguments: tuple[str, ...]
    api: Api


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command of a group, for example ``create`` of ``service``.

    ``usage`` is what follows the name in docker's help. ``most`` None is without limit.
    ``completes`` names the kind of object that its arguments are, for the shell's completion.
    """

    name: str
    usage: str
    summary: str
    run: Callable[[Call], int | None]
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int | None = 0
    aliases: tuple[str, ...] = ()
    completes: str = ""
    # False where a command of somebody else's follows: its options are not ours.
    interspersed: bool = True


def perform(command: Command, name: str, words: Sequence[str], host: str) -> int:
    """Do a command with the words after its name; the exit code. Raises `Failure`, with words that
    are docker's where docker has any."""
    try:
        flags = (*command.flags, _help_flag(command))
        options, arguments = read_options(words, flags, interspersed=command.interspersed)
    except Refusal as fault:
        raise Failure(f"{fault}\n\n{_usage(command, name, 'Run')} for more information",
                      NOT_STARTED) from fault  # fmt: skip
    if options.switch("help"):
        print(help_text(command, name))
        return 0
    complaint = _wrong_number(command, len(arguments))
    if complaint:
        last = "See" if command.most is None else "Run"
        usage = _usage(command, name, last)
        raise Failure(f"skep: 'skep {name}' {complaint}\n\n{usage} for more information")
    try:
        return command.run(Call(name, options, arguments, Api(host))) or 0
    except Failure:
        raise
    except Refusal as refusal:
        raise Failure(str(refusal)) from refusal
    except OSError as error:
        if error.filename is None:
            raise
        reason = (error.strerror or str(error)).lower()
        raise Failure(f"open {error.filename}: {reason}") from error


def help_text(command: Command, name: str) -> str:
    """What ``--help`` prints."""
    shown = f"Usage:  skep {name} {command.usage}".rstrip() + f"\n\n{command.summary}"
    if command.aliases:
        group = name.rpartition(" ")[0]
        others = ", ".join(f"skep {group} {each}".replace("  ", " ") for each in command.aliases)
        shown += f"\n\nAliases:\n  skep {name}, {others}"
    if not command.flags:
        return shown
    described = options_parser(command.flags).format_help()
    return f"{shown}\n\n{described.replace('options:', 'Options:', 1).strip()}"


def _help_flag(command: Command) -> Flag:
    taken = any(flag.short == "h" for flag in command.flags)
    return Flag("help", "Print usage", SWITCH, "" if taken else "h")


def _usage(command: Command, name: str, last: str) -> str:
    return f"Usage:  skep {name} {command.usage}".rstrip() + f"\n\n{last} 'skep {name} --help'"


def _wrong_number(command: Command, count: int) -> str:
    """How the number of arguments is wrong, in docker's words; "" if it is not."""
    least, most = command.least, command.most
    if least <= count and (most is None or count <= most):
        return ""
    if most == 0:
        return "accepts no arguments"
    if least == most:
        return f"requires {least} argument{'s' if least > 1 else ''}"
    if most is None:
        return f"requires at least {least} argument{'s' if least > 1 else ''}"
    if least:
        return f"requires at least {least} and at most {most} arguments"
    return f"requires at most {most} argument{'s' if most > 1 else ''}"
