"""A command-line parser whose complaint is one line."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

USAGE = 2


class Parser(argparse.ArgumentParser):
    """argparse with our manners: help texts keep their lines, options are not abbreviated."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """Print the complaint and where to read on, then exit with 2."""
        print(f'skep: {message} (see "{self.prog} --help")', file=sys.stderr)
        sys.exit(USAGE)
