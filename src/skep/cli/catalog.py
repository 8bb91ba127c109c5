"""All commands: the groups, and the short forms at the top level.

A group's module is imported when one of its commands is wanted, and lists them as ``COMMANDS``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

import msgspec

from skep.cli.command import Command


class Group(msgspec.Struct, frozen=True):
    """A noun with its commands: what it manages, and the module that has them."""

    summary: str
    module: str


class _Module(Protocol):
    COMMANDS: tuple[Command, ...]


_VERBS = "skep.cli.verbs"
GROUPS = {
    "container": Group("Manage containers", f"{_VERBS}.container"),
    "image": Group("Manage images", f"{_VERBS}.image"),
    "network": Group("Manage networks", f"{_VERBS}.network"),
    "system": Group("Manage the daemon", f"{_VERBS}.system"),
    "volume": Group("Manage volumes", f"{_VERBS}.volume"),
    "config": Group("Manage Swarm configs", f"{_VERBS}.config"),
    "node": Group("Manage Swarm nodes", f"{_VERBS}.node"),
    "secret": Group("Manage Swarm secrets", f"{_VERBS}.secret"),
    "service": Group("Manage Swarm services", f"{_VERBS}.service"),
    "stack": Group("Manage Swarm stacks", f"{_VERBS}.stack"),
    "swarm": Group("Manage Swarm", f"{_VERBS}.swarm"),
}
_OF_CONTAINERS = (
    "attach create exec kill logs pause port rename restart rm run start stop top unpause wait"
)
SHORT_FORMS = {
    **{name: ("container", name) for name in _OF_CONTAINERS.split()},
    **{name: ("image", name) for name in ("load", "pull", "save", "tag")},
    **{name: ("system", name) for name in ("events", "info", "inspect", "version")},
    "images": ("image", "ls"),
    "ps": ("container", "ls"),
    "rmi": ("image", "rm"),
}
# Commands that exist in their short form only.
_HIDDEN = {("system", "inspect"), ("system", "version")}


def commands(group: str) -> dict[str, Command]:
    """A group's commands by name, in their module's order."""
    found = cast("_Module", import_module(GROUPS[group].module)).COMMANDS
    return {each.name: each for each in found}


def shown_commands(group: str) -> list[Command]:
    """Those that a group lists."""
    return [each for name, each in commands(group).items() if (group, name) not in _HIDDEN]


def find(group: str, word: str) -> Command | None:
    """A group's command by its name or another name of it."""
    for command in shown_commands(group):
        if word == command.name or word in command.aliases:
            return command
    return None


def short_form(word: str) -> Command:
    """The command that a short form stands for."""
    group, name = SHORT_FORMS[word]
    return commands(group)[name]
