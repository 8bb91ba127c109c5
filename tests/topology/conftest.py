"""The scene of the plan's tests is a cluster to name conversations of, too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "plan"))
