"""examples/plugin/wire.py, but one call goes wrong: ``--fault CALL=HOW`` beside its own options."""

import importlib.util
import os
import sys
import threading
from pathlib import Path

WIRE = Path(__file__).parents[2] / "examples" / "plugin" / "wire.py"
spec = importlib.util.spec_from_file_location("wire", WIRE)
wire = importlib.util.module_from_spec(spec)
spec.loader.exec_module(wire)

ANSWERS = {"docker0": {"InterfaceName": {"SrcName": "docker0", "DstPrefix": "eth"}}}


class Handler(wire.Handler):
    """Hangs, dies, or gives an answer of `ANSWERS`."""

    fault = ""

    def do_POST(self):
        call, _, how = self.fault.partition("=")
        if self.path != f"/{call}":
            super().do_POST()
        elif how == "hang":
            threading.Event().wait()
        elif how == "die":
            os._exit(1)
        else:
            super().do_POST()

    def answer(self, kind, call, asked):
        wanted, _, how = self.fault.partition("=")
        if f"{kind}.{call}" == wanted:
            return 200, ANSWERS[how]
        return super().answer(kind, call, asked)


def main():
    at = sys.argv.index("--fault")
    Handler.fault = sys.argv[at + 1]
    wire.Handler = Handler
    wire.serve(wire.parsed(sys.argv[1:at]))


if __name__ == "__main__":
    main()
