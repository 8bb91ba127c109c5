"""A log that does not grow without end."""

import os
import subprocess
import sys

import pytest

from skep.dns import output
from skep.dns.output import bound


@pytest.fixture
def limit(monkeypatch):
    monkeypatch.setattr(output, "LIMIT", 1000)
    return 1000


@pytest.mark.parametrize("mode", ["ab", "wb"])
def test_the_older_half_goes_line_by_line_and_writing_goes_on(tmp_path, limit, mode):
    path = tmp_path / "log"
    lines = [f"line {n:03}\n".encode() for n in range(120)]
    with path.open(mode) as file:
        file.writelines(lines)
        file.flush()
        bound(file.fileno())
        file.write(b"after\n")
    kept = path.read_bytes().splitlines(keepends=True)
    assert kept == [*lines[-len(kept) + 1 :], b"after\n"]
    assert limit // 2 - 20 < path.stat().st_size <= limit // 2 + 10


def test_a_short_one_is_left_alone(tmp_path, limit):
    path = tmp_path / "log"
    with path.open("ab") as file:
        file.write(b"x" * limit)
        file.flush()
        bound(file.fileno())
    assert path.stat().st_size == limit


def test_a_line_without_end_goes_altogether(tmp_path, limit):
    path = tmp_path / "log"
    with path.open("ab") as file:
        file.write(b"x" * limit * 2)
        file.flush()
        bound(file.fileno())
    assert path.read_bytes() == b""


def test_pipes_have_no_past(limit):
    reading, writing = os.pipe()
    os.write(writing, b"x" * (limit + 1))
    bound(writing)
    assert os.read(reading, 5000) == b"x" * (limit + 1)
    os.close(reading)
    os.close(writing)


def test_a_process_that_writes_on_its_own_log(tmp_path, limit):
    """As skep-dns does: two descriptors of one open file."""
    path = tmp_path / "log"
    code = (
        "import os, sys; from skep.dns import output; output.LIMIT = 1000; "
        "print('x' * 99 + chr(10), end='', flush=True); "
        "[print('y' * 98, flush=True) or output.bound(1) for _ in range(50)]; "
        "print('end', file=sys.stderr)"
    )
    with path.open("ab") as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, stderr=log, check=True)
    assert path.stat().st_size <= limit
    assert path.read_text().endswith("y\nend\n")
