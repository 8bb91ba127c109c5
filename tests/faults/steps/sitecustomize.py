"""Found by every Python of a fault lab's hosts, on its PYTHONPATH: makes `fault_steps` count."""

import sys

from fault_steps import Interposer, put_clock_forward

sys.meta_path.insert(0, Interposer())
put_clock_forward()
