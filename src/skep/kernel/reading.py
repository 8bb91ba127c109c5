"""What the kernel does not tell, as a refusal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from skep.kernel.nftables import Rejected
from skep.model.errors import Broken


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Reading ``what`` ("the flows of the host"). Raises `Broken` if the kernel does not let us,
    and FileNotFoundError as it is: that is a namespace which has just gone."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, Rejected) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else error
        raise Broken(f"cannot read {what}: {reason}") from error
