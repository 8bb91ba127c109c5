"""``skep hold``: leave a host's kernel as it is, while somebody looks for a fault in it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from skep.cli.api import Api
from skep.cli.parser import Parser

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+)([smh]?)")
_DESCRIPTION = """\
Have skepd on a host repair nothing for a while: what somebody deletes, adds or alters in its kernel
stays so. Containers still start and stop, and what their coming and going changes is still done.
It ends by itself, by --release, or when skepd is started anew. skep doctor shows it.

HOST  a host's name, id or address; on a worker, only that host itself"""
_EPILOG = """\
examples:
  skep hold h2                  for 15 minutes
  skep hold h2 --for 2h
  skep hold --release h2        what is not as planned is repaired at once"""


def run(arguments: Sequence[str]) -> int:
    """Hold or release; the exit code."""
    parser = Parser(prog="skep hold", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("host", metavar="HOST")
    parser.add_argument(
        "--for", dest="time", metavar="TIME", default="15m",
        help="as in 90s, 15m or 2h, at most 24h (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--release", action="store_true", help="repair again, now")
    options = parser.parse_args(arguments)
    found = _DURATION.fullmatch(options.time)
    if found is None or int(found[1]) == 0:
        parser.error(f'"{options.time}" is no time: say 90s, 15m or 2h')
    seconds = 0 if options.release else int(found[1]) * _UNITS[found[2]]
    until = Api().post("/skep/hold", host=options.host, seconds=str(seconds))["until"]
    if seconds:
        clock = time.strftime("%H:%M:%S", time.localtime(until))
        print(f"{options.host} is held until {clock}: nothing there is repaired.")
        print(f"skep hold --release {options.host} ends it.")
    else:
        print(f"{options.host} is no longer held: skepd repairs what is not as planned.")
    return 0
