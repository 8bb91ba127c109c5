"""The cases can fail: each of these builds has a fault put in, and the case named with it finds it.

Only by bin/test mutants, for each of them makes a lab of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import MUTANTS

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
FAILED = 1
"""pytest's exit status if a test failed; another one if it could not even be run."""


def build(mutant, folder):
    """A copy of the sources with the fault in it."""
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file, right, wrong in mutant.changes:
        path = folder / "skep" / file
        text = path.read_text()
        assert text.count(right) == 1, f"{file} has {text.count(right)} times: {right}"
        path.write_text(text.replace(right, wrong))


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_fault_is_found(mutant, tmp_path):
    build(mutant, tmp_path / "src")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", mutant.case], cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")}, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == FAILED, done.stdout
    assert "1 failed" in done.stdout or "FAILED" in done.stdout, done.stdout


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_build_is_a_program(mutant, tmp_path):
    """What is wrong is what it does: it is no mere typing error."""
    build(mutant, tmp_path / "src")
    for file, _, _ in mutant.changes:
        compile((tmp_path / "src" / "skep" / file).read_text(), file, "exec")
