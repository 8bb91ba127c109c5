"""What attackers send is written in tests/faults, for all labs."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "faults"))
