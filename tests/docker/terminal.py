"""The docker client at a terminal, for tests: what it shows, what is typed, how large it is."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

PATIENCE = 60.0
"""Seconds for which something is waited for that must appear."""


class Terminal:
    """A docker command on a terminal of its own."""

    def __init__(self, lab, *arguments, size=(24, 80)):
        self._own, inner = pty.openpty()
        self._resize(size)
        self.client = subprocess.Popen(
            [lab.client, "-H", f"unix://{lab.socket('h1')}", *arguments],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
        )  # fmt: skip
        os.close(inner)
        self.shown = ""

    def type(self, text):
        """Press keys."""
        os.write(self._own, text.encode())

    def resize(self, *size):
        """Give the terminal another size (rows, columns), and say so."""
        self._resize(size)
        self.client.send_signal(signal.SIGWINCH)

    def _resize(self, size):
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def read(self, seconds):
        """Take up what is shown within some time; whether there is anything."""
        if not select.select([self._own], [], [], seconds)[0]:
            return False
        try:
            self.shown += os.read(self._own, 65536).decode(errors="replace")
        except OSError:
            return False  # the client has ended
        return True

    def until(self, text, again=""):
        """Wait until a text is shown, typing ``again`` every second."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            if not self.read(1.0) and again:
                self.type(again)

    def ended(self):
        """The client's exit code, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while self.client.poll() is None:
            assert time.monotonic() < deadline, f"it does not end: {self.shown!r}"
            self.read(0.1)
        while self.read(0):
            pass
        return self.client.returncode

    def close(self):
        """End the client, whatever it does."""
        self.client.kill()
        self.client.wait()
        os.close(self._own)
