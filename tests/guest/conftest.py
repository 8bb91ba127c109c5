"""These tests need a kernel that has everything: ``bin/test guest`` boots one."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "docker"))

collect_ignore_glob = [] if os.environ.get("SKEP_GUEST") else ["test_*.py"]
