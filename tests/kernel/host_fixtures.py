"""A host of its own for each test, and its kernel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fresh_host import Host

from skep.kernel.kernel import Kernel


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def kernel(host: Host) -> AsyncIterator[Kernel]:
    made = Kernel(host.netns_dir, host.home)
    try:
        yield made
    finally:
        await made.close()
