"""The scenes of tests/plan are traced here too, and real namespaces made as in tests/kernel."""

import sys
from pathlib import Path

import pytest

for folder in ("plan", "kernel"):
    sys.path.append(str(Path(__file__).parent.parent / folder))

from fresh_host import Host  # noqa: E402 - found by the line above

from skep.kernel.kernel import Kernel  # noqa: E402


@pytest.fixture
def host(tmp_path):
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def kernel(host):
    made = Kernel(host.netns_dir, host.home)
    try:
        yield made
    finally:
        await made.close()
