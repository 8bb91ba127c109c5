"""The command ``skep``: picks the verb, and turns every failure into readable lines.

Exit codes: 0 done, 1 refused or failed, 130 interrupted. For docker's commands also docker's own:
125 if the options made no sense or a container could not be started, else what it exited with. Of
``skep lab``, 2 says that the command line itself is wrong.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from skep import __version__
from skep.cli import catalog
from skep.cli.command import FAILED, Failure, perform
from skep.cli.flags import LIST, SWITCH, Flag, Options, options_parser, read_options
from skep.cli.own import VERBS
from skep.model.errors import Refusal

INTERRUPTED = 130
_LIST_WIDTH = 12
FLAGS = (
    Flag("host", "the API's socket (default DOCKER_HOST, or unix:///run/docker.sock)", LIST, "H"),
    Flag("debug", "show where a fault of skep's own is", SWITCH, "D"),
    Flag("help", "print this", SWITCH, "h"),
    Flag("version", "print skep's own version", SWITCH, "v"),
)


class VerbModule(Protocol):
    """What the module of a verb offers."""

    def run(self, arguments: Sequence[str]) -> int:
        """Do it with the arguments after the verb; the exit code."""


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code. Raises what `main` prints."""
    try:
        options, words = read_options(arguments, FLAGS, interspersed=False)
    except Refusal as fault:
        raise Failure(f"{fault}\n\nRun 'skep --help' for more information", 125) from fault
    if options.switch("debug"):
        os.environ["SKEP_DEBUG"] = "1"
    if options.switch("version"):
        print(
            f"skep {__version__} (Python {platform.python_version()}, Linux {platform.release()})"
        )
        return 0
    if not words or options.switch("help"):
        print(_overview())
        return 0
    return _verb(words[0], words[1:], _host(options))


def _host(options: Options) -> str:
    hosts = options.all("host")
    if len(hosts) > 1:
        raise Failure("Specify only one -H")
    return hosts[0] if hosts else ""


def _verb(word: str, rest: Sequence[str], host: str) -> int:
    if word in VERBS:
        if host:
            os.environ["DOCKER_HOST"] = host
        return cast("VerbModule", import_module(VERBS[word].module)).run(rest)
    if word in catalog.SHORT_FORMS:
        return perform(catalog.short_form(word), word, rest, host)
    if word in catalog.GROUPS:
        return _group(word, rest, host)
    if word == "help" and rest:
        return run([*rest, "--help"])
    raise Failure(f"skep: unknown command: skep {word}\n\nRun 'skep --help' for more information")


def _group(group: str, words: Sequence[str], host: str) -> int:
    if not words or words[0] in ("--help", "-h"):
        print(_group_help(group), file=sys.stdout if words else sys.stderr)
        return 0
    command = catalog.find(group, words[0])
    if command is None:
        raise Failure(
            f"skep: unknown command: skep {group} {words[0]}\n\nUsage:  skep {group}\n\n"
            f"Run 'skep {group} --help' for more information"
        )
    return perform(command, f"{group} {command.name}", words[1:], host)


def _overview() -> str:
    short = [(word, catalog.short_form(word).summary) for word in sorted(catalog.SHORT_FORMS)]
    sections = {
        "Skep's own": [(name, verb.summary) for name, verb in VERBS.items()],
        "Management commands": [(name, group.summary) for name, group in catalog.GROUPS.items()],
        "Commands": short,
    }
    text = "Usage:  skep [OPTIONS] COMMAND\n\n"
    text += "Multi-host container networking and services with Docker Swarm's commands.\n"
    for title, entries in sections.items():
        text += f"\n{title}:\n{_entries(entries)}"
    described = options_parser(FLAGS).format_help().replace("options:", "Options:", 1)
    return f"{text}\n{described}\nRun 'skep COMMAND --help' for more information on a command."


def _group_help(group: str) -> str:
    entries = [(each.name, each.summary) for each in catalog.shown_commands(group)]
    return (
        f"Usage:  skep {group} COMMAND\n\n{catalog.GROUPS[group].summary}\n\nCommands:\n"
        f"{_entries(entries)}\nRun 'skep {group} COMMAND --help' for more information on a command."
    )


def _entries(entries: Sequence[tuple[str, str]]) -> str:
    return "".join(f"  {name:<{_LIST_WIDTH}}{summary}\n" for name, summary in entries)


def main() -> int:
    """Entry point of the program; the exit code."""
    try:
        return _flushed(run(sys.argv[1:]))
    except Failure as failure:
        if str(failure):
            print(failure, file=sys.stderr)
        return failure.code
    except Refusal as refusal:
        return _complain(refusal)
    except KeyboardInterrupt:
        print("\nskep: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror or error}{where}")
    except Exception as error:  # a fault of ours: still one line, unless somebody hunts it
        if os.environ.get("SKEP_DEBUG"):
            raise
        return _complain(f"internal error: {error!r} (SKEP_DEBUG=1 shows where)")


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def _complain(complaint: object) -> int:
    print(f"skep: {complaint}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
