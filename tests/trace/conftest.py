"""The scenes of tests/plan are traced here too, and real namespaces made as in tests/kernel."""

import sys
from pathlib import Path

for folder in ("plan", "kernel"):
    sys.path.append(str(Path(__file__).parent.parent / folder))

from host_fixtures import host, kernel  # noqa: E402, F401 - fixtures, found by the lines above
