"""A look at a link that a plugin named."""

from __future__ import annotations

from functools import partial

from skep.kernel import moving
from skep.kernel.kernel import Kernel
from skep.kernel.moving import Candidate
from skep.model.errors import Broken
from skep.model.netstate import HOST


async def look(kernel: Kernel, name: str) -> Candidate | None:
    """A link of the host that a plugin names. Raises `Broken` if the kernel does not say."""
    try:
        return await kernel.within(HOST, partial(moving.look, name))
    except OSError as error:
        raise Broken(f"cannot look at the link {name}: {error.strerror}") from error
