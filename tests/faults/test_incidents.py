"""Every test that docs/incidents.md names is one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def functions(path):
    tree = ast.parse((ROOT / path).read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_incident_has_its_test():
    rows = (ROOT / "docs/incidents.md").read_text().splitlines()
    rows = [row for row in rows if row.startswith("|")][2:]
    assert len(rows) >= 20
    for row in rows:
        named = NAMED.findall(row)
        assert named, row
        for path, name in named:
            assert name in functions(path), f"{path} has no {name}"
