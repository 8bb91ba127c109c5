"""Rows of what docker's commands say: a command line, its exit code, and a regular expression that
its whole output (both streams) must have in it. ``{files}`` is the lab's folder of files."""

import re
import shlex

import pytest


def each_of(rows):
    """A test for each row, numbered."""
    ids = [f"{number}-{row[0][:32]}" for number, row in enumerate(rows)]
    return pytest.mark.parametrize("row", rows, ids=ids)


def check(lab, row):
    """Type a row's command on h1; fails the test if what comes is something else."""
    line, wanted, pattern = (x.format(files=lab.files) if isinstance(x, str) else x for x in row)
    code, output, complaints = lab.tried("h1", *shlex.split(line))
    assert code == wanted, output + complaints
    assert re.search(pattern, output + complaints, re.MULTILINE), output + complaints
