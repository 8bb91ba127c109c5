"""What the benchmarks that make a lab have in common as commands."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable


class Command:
    """The command line of one benchmark: counts of 1 or more, ``--json``, and what it adds to
    ``parser`` itself. ``about`` is the benchmark's docstring."""

    def __init__(self, name: str, about: str | None) -> None:
        self.parser = argparse.ArgumentParser(prog=f"bin/bench {name}", description=about)
        self.parser.formatter_class = argparse.RawDescriptionHelpFormatter
        self.parser.add_argument(
            "--json", action="store_true", help="print every number, for programs"
        )
        self._counts: list[str] = []

    def count(self, name: str, default: int, what: str) -> None:
        """An option ``--name N``."""
        words = f"{what} (default: %(default)s)"
        self.parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=words)
        self._counts.append(name)

    def options(self) -> argparse.Namespace:
        """What was asked for. Ends the program with the reason if that cannot be."""
        options = self.parser.parse_args()
        for name in self._counts:
            if getattr(options, name) < 1:
                self.parser.error(f"--{name} takes a number from 1 on")
        if os.geteuid() != 0:
            self.parser.error("it makes network namespaces, which takes root")
        return options


def run(name: str, main: Callable[[], None], *more: type[Exception]) -> None:
    """Do it, and end with a sentence if the world does not let it, which ``more`` say too."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (subprocess.CalledProcessError, RuntimeError, OSError, *more) as fault:
        sys.exit(f"bin/bench {name}: {fault}")


def tell(step: str) -> None:
    """Say what is being done."""
    print(f"· {step}", file=sys.stderr, flush=True)
