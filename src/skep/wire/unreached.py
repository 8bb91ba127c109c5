"""Why a manager could not be talked to, in words."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Sequence

import aiohttp

from skep.model.errors import Forbidden, Refusal, Unavailable

NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ETIMEDOUT)


class Unreachable(Unavailable):
    """A manager gave no answer; another one may."""


class Silent(Unreachable):
    """Nothing at all was heard of it: it may be cut off."""


class WrongAuthority(Forbidden):
    """Whoever answered is not of the token's cluster; another address may be."""


def unreachable(error: Exception, limit: float) -> Unreachable:
    """What became of an attempt that could take ``limit`` seconds."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    silent = isinstance(cause, TimeoutError) or getattr(cause, "errno", None) in NO_WAY
    return (Silent if silent else Unreachable)(_cause(error, limit))


def _cause(error: Exception, limit: float) -> str:
    """Why a manager could not be talked to, in words."""
    match error:
        case TimeoutError():
            return f"no answer within {limit:.0f} seconds"
        case aiohttp.ClientConnectorCertificateError():
            return "it does not have a manager's certificate of this cluster"
        case aiohttp.ClientConnectorSSLError():
            return "it does not speak TLS 1.3"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection"
        case OSError() if isinstance(error.__cause__, ssl.SSLError):
            return "it does not accept this host's certificate"
        case aiohttp.ClientConnectorError():
            return (error.os_error.strerror or str(error.os_error)).lower()
        case OSError() if error.strerror:
            return error.strerror.lower()
    return str(error) or type(error).__name__


def summary(failures: Sequence[tuple[str, Refusal]]) -> Refusal:
    """One refusal of all failures: a wrong CA outweighs silence."""
    for _, failure in failures:
        if isinstance(failure, WrongAuthority):
            return Forbidden(str(failure))
    causes = "; ".join(f"{remote}: {failure}" for remote, failure in failures)
    return Unavailable(f"no manager of the swarm could be reached ({causes or 'none is known'})")
