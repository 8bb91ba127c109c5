"""The words that shells offer, without a daemon; with one: tests/docker/test_skep_alone.py."""

import pytest

from skep.cli import catalog, main
from skep.cli.completion import candidates


def test_every_command_is_offered():
    offered = set(candidates([""]))
    assert offered == {*main.VERBS, *catalog.GROUPS, *catalog.SHORT_FORMS}


@pytest.mark.parametrize("group", catalog.GROUPS)
def test_every_command_and_option_of_a_group_is_offered(group):
    commands = catalog.shown_commands(group)
    assert candidates([group, ""]) == sorted(command.name for command in commands)
    for command in commands:
        flags = sorted(f"--{flag.name}" for flag in command.flags)
        assert candidates([group, command.name, "--"]) == flags


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["no"], ["node"]),
        (["nosuch", ""], []),
        (["service", "create", "--name", ""], []),
        (["-H", "unix:///nosuch", "service", "rm", ""], []),
        (["completion", "z"], ["zsh"]),
        (["lab", "u"], ["up"]),
    ],
)
def test_what_is_offered(typed, offered):
    assert candidates(typed) == offered
