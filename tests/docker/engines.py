"""Types one script to two engines, and says where what they answer differs."""

import difflib
import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("engines.script")
MARKS = "~%!"

MADE_UP = (
    (re.compile(r"sha256:[0-9a-f]{64}"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"\b(?!02:42:aa:bb:cc:dd)[0-9a-f]{2}(:[0-9a-f]{2}){5}\b"), "<mac>"),
    (re.compile(r"\b(172\.\d+\.0)\.(?![01]\b|255\b)\d+\b"), r"\1.<n>"),
    (re.compile(r"^\d+: ", re.MULTILINE), "<index>: "),
    (re.compile(r"@if\d+"), "@<index>"),
    (re.compile(r"(Less than|About|\d+) (a |an )?(second|minute)s?( ago)?"), "<while>"),
    (re.compile(r"link-netnsid \d+"), "link-netnsid <n>"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)
"""What no two engines, and no two runs, have in common."""


@dataclass(frozen=True)
class Step:
    """A line of the script: what is typed, and how its answer is to be read."""

    mark: str
    typed: str

    def command(self, lab, files):
        """The words to run, for a lab whose host h1 has the engine."""
        typed = self.typed.replace("{files}", str(files))
        if self.mark == "!":
            return lab.inside("h1", "sh", "-c", typed)
        return [lab.client, "-H", f"unix://{lab.socket('h1')}", *shlex.split(typed)]


def read(text):
    """The script's steps."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [Step(line[0], line[1:]) if line[0] in MARKS else Step("", line) for line in lines]


def answer(lab, step, files):
    """What an engine answers to a step, one comparable fact a line; the exit code is the last."""
    done = subprocess.run(
        step.command(lab, files), capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL, errors="replace",
        env=os.environ | {"DOCKER_CLI_HINTS": "false", "DOCKER_API_VERSION": "1.41"},
    )  # fmt: skip
    lines = facts(step.mark, done.stdout) + comparable(done.stderr)
    return [line for line in lines if line] + [f"exit code {done.returncode}"]


def facts(mark, output):
    """An answer's lines."""
    if mark == "%":
        try:
            return sorted(comparable("\n".join(leaves(json.loads(output)))))
        except ValueError:
            pass  # a refusal, in words
    lines = comparable(output)
    return sorted(lines) if mark == "~" else lines


def leaves(value, path=""):
    """The leaves of a JSON value, each with its path. Nothing is the same as none."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, f"{path}[]")
    else:
        yield f"{path} = {json.dumps(value)}"


def comparable(text):
    """Lines without what is made up anew each time."""
    for pattern, instead in MADE_UP:
        text = pattern.sub(instead, text)
    return text.splitlines()


def differences(docker, skep):
    """The lines that only one of two answers has: "- " Docker's, "+ " Skep's."""
    compared = difflib.ndiff(docker, skep)
    return [line for line in compared if line[0] in "-+"]


KEPT = Path(__file__).parents[2] / "docs" / "compat-docker-engine.md"
_BLOCK = re.compile(r"^```differences\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Kept:
    """A line of the list of differences: for which commands, and which lines. ``*`` is anything."""

    text: str
    command: re.Pattern
    line: re.Pattern

    def covers(self, step, line):
        """Whether it is about this line of this step's differences."""
        return bool(self.command.fullmatch(step.typed) and self.line.fullmatch(line))


def kept(text):
    """The list, out of the page that shows it."""
    return [
        Kept(line, *(_pattern(part) for part in line.split(" :: ", 1)))
        for block in _BLOCK.findall(text)
        for line in block.splitlines()
    ]


def _pattern(text):
    return re.compile(".*".join(re.escape(part) for part in text.strip().split("*")))


def judged(compared, listed):
    """What is wrong with the list: differences that it lacks, entries without any.

    ``compared`` has steps with their differences.
    """
    used, lacking = set(), []
    for step, lines in compared:
        for line in lines:
            covering = {entry for entry in listed if entry.covers(step, line)}
            used |= covering
            if not covering:
                lacking.append(f"{step.typed} :: {line}")
    return lacking, [entry.text for entry in listed if entry not in used]


def typed(lab, steps, files):
    """All answers of one engine, step by step. ``files`` is a fresh folder."""
    (files / "in").write_text("from outside\n")
    found = [answer(lab, step, files) for step in steps]
    return [[line.replace(str(files), "{files}") for line in lines] for lines in found]
