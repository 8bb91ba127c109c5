"""A host of its own for each test."""

import sys
from pathlib import Path

# The scenes of the plan's tests are of use here too.
sys.path.append(str(Path(__file__).parent.parent / "plan"))

from host_fixtures import host, kernel  # noqa: F401 - fixtures
