"""The house's numbers, measured.

Offenders of old are listed in `tidy_baseline.json`, which may only shrink: whoever makes one better
also lowers or removes its entry there.
"""

import ast
import functools
import io
import json
import re
import tokenize
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "tests", "benchmarks")
BASELINE = Path(__file__).with_name("tidy_baseline.json")

LONGEST_FUNCTION = 50
LONGEST_FILE = 400
MOST_PARAMETERS = 5
WIDEST_LINE = 100
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)
"""What functions can be in: there are none in an expression."""
_UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
_DIRECTIVE = re.compile(r"#\s*(type|noqa|fmt|mypy|ruff|pragma)\b")
_CODE = (ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.Return, ast.For, ast.If,
         ast.With, ast.Raise, ast.Assert, ast.Delete, *_FUNCTIONS)  # fmt: skip


def files():
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def offences(path, source):
    """Everything that is wrong with one file: what and where -> by how much."""
    name = path.relative_to(ROOT).as_posix() if path.is_absolute() else path.as_posix()
    tree = ast.parse(source)
    found = {}
    lines = source.splitlines()
    if len(lines) > LONGEST_FILE:
        found[f"{name}: lines"] = len(lines)
    widest = max(map(len, lines), default=0)
    if widest > WIDEST_LINE:
        found[f"{name}: columns"] = widest
    if BANNED_NAMES & {path.stem, path.parent.name}:
        found[f"{name}: says nothing by its name"] = 1
    for function, qualified in _functions(tree):
        found |= _function_offences(function, f"{name}: {qualified}", name.startswith("src/"))
    for line, comment in _comments(source):
        if _UNFINISHED.search(comment):
            found[f"{name}: unfinished, by its own words"] = line
        if _is_code(comment):
            found[f"{name}: code in a comment"] = line
    return found


def _function_offences(function, label, is_source):
    length = function.end_lineno - function.lineno + 1
    found = {f"{label}: lines": length} if length > LONGEST_FUNCTION else {}
    if is_source and (count := _parameters(function)) > MOST_PARAMETERS:
        found[f"{label}: parameters"] = count
    return found


def _functions(tree, prefix=""):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            qualified = f"{prefix}{node.name}"
            if isinstance(node, _FUNCTIONS):
                yield node, qualified
            yield from _functions(node, f"{qualified}.")
        elif isinstance(node, _BLOCKS):
            yield from _functions(node, prefix)


def _parameters(function):
    """How many a caller can give, without the object or class itself."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args)]
    own = bool(names) and names[0] in ("self", "cls")
    rest = sum(each is not None for each in (given.vararg, given.kwarg))
    return len(names) - own + len(given.kwonlyargs) + rest


def _comments(source):
    if "#" not in source:
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _is_code(comment):
    """Whether a comment would be a statement without its mark. Single words and calls may be prose
    or an example; what assigns, imports or returns is not."""
    if _DIRECTIVE.match(comment):
        return False
    text = comment.lstrip("#").strip().rstrip(":") + (":" * comment.endswith(":"))
    try:
        body = ast.parse(text + (" pass" if text.endswith(":") else "")).body
    except (SyntaxError, ValueError):
        return False
    return bool(body) and isinstance(body[0], _CODE)


@functools.cache
def measured():
    found = {}
    for path in files():
        found |= offences(path, path.read_text())
    return found


def test_the_house_is_tidy():
    allowed = json.loads(BASELINE.read_text())
    found = measured()
    worse = [f"{what} ({much})" for what, much in found.items() if much > allowed.get(what, 0)]
    assert not worse, "not tidy:\n  " + "\n  ".join(worse)


def test_the_baseline_only_shrinks():
    allowed = json.loads(BASELINE.read_text())
    found = measured()
    better = [f"{what}: {found.get(what, 'gone')}" for what, much in allowed.items()
              if found.get(what, 0) < much]  # fmt: skip
    assert not better, "lower these in tidy_baseline.json:\n  " + "\n  ".join(better)


def test_the_lock_file_holds_every_dependency_and_no_address():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    missing = {re.split(r"[<>=~! ;\[]", each)[0].lower() for each in wanted} - locked
    assert not missing, "run bin/lock"
    assert "://" not in lock and "--index" not in lock


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("src/a.py", "x = 1\n" * 400, []),
        ("src/a.py", "x = 1\n" * 401, ["src/a.py: lines"]),
        ("src/a.py", f"x = '{'y' * 94}'\n", []),
        ("src/a.py", f"x = '{'y' * 95}'\n", ["src/a.py: columns"]),
        ("src/utils.py", "", ["src/utils.py: says nothing by its name"]),
        ("src/common/a.py", "", ["src/common/a.py: says nothing by its name"]),
        ("src/a.py", "def f():\n" + "    x = 1\n" * 49, []),
        ("src/a.py", "def f():\n" + "    x = 1\n" * 50, ["src/a.py: f: lines"]),
        ("src/a.py", "class C:\n  async def f():\n" + "    x = 1\n" * 50, ["src/a.py: C.f: lines"]),
        ("src/a.py", "class C:\n  def f(self, a, b, c, d, e): ...\n", []),
        ("src/a.py", "def f(a, b, c, *, d, e, f): ...\n", ["src/a.py: f: parameters"]),
        ("src/a.py", "def f(a, b, c, d, *e, **f): ...\n", ["src/a.py: f: parameters"]),
        ("tests/a.py", "def f(a, b, c, d, e, f): ...\n", []),
        ("src/a.py", "# TO" "DO: later\n", ["src/a.py: unfinished, by its own words"]),
        ("src/a.py", "# old = call(1)\n", ["src/a.py: code in a comment"]),
        ("src/a.py", "# if this:\n", ["src/a.py: code in a comment"]),
        ("src/a.py", "# Say why, not what; see open(2).\n# note\n# type: ignore\n", []),
    ],
)  # fmt: skip
def test_an_offence_is_found(name, source, expected):
    assert list(offences(Path(name), source)) == expected


def test_every_test_file_has_a_name_of_its_own():
    """pytest imports them all into one room."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
