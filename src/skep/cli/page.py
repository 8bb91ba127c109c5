"""``skep page``: where the page is."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from skep.cli.api import Api
from skep.cli.parser import Parser
from skep.model.errors import Unavailable

_DESCRIPTION = """\
Print the address of the page that skepd serves: the cluster, drawn as it is and as it changes. It
only looks. If the page is not on a loopback address, there is a token in it: whoever has that may
see the page."""
_EPILOG = """\
skepd's option --page says where it is served (default 127.0.0.1:2378), "off" that it is not. To see
the page of a manager elsewhere: ssh -L 2378:127.0.0.1:2378 MANAGER, then http://127.0.0.1:2378/"""


def run(arguments: Sequence[str]) -> int:
    """Print it; the exit code."""
    parser = Parser(prog="skep page", description=_DESCRIPTION, epilog=_EPILOG)
    parser.parse_args(arguments)
    found = msgspec.convert(Api().get("/skep/page-address"), dict[str, str])
    if not found["url"]:
        raise Unavailable(f"the page is not served: {found['why']}")
    token = f"?token={quote(found['token'])}" if found["token"] else ""
    print(f"{found['url']}{token}")
    if found["fingerprint"]:
        print(f"certificate (SHA-256): {found['fingerprint']}")
    return 0
