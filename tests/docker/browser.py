"""A real Chromium without a screen, inside a host of a lab, driven over a pipe.

The pipe carries the DevTools protocol, one JSON message after another with a NUL behind each, so
that no port is needed: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

WITHIN = 60
"""Seconds for one answer, or for something to become true."""
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39,
        "ArrowDown": 40, "Tab": 9}  # fmt: skip


class Browser:
    """One page in a Chromium that was started by ``inside`` (a function that makes the command
    line of a command in a host). It keeps its files in ``folder``."""

    def __init__(self, inside, folder, size=(1280, 800)):
        self.folder = folder
        program = shutil.which("chromium")
        assert program, "there is no chromium: bin/test installs one"
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-extensions", "--mute-audio", "--no-proxy-server",
            "--force-color-profile=srgb", "--remote-debugging-pipe",
            f"--user-data-dir={folder}/profile", f"--window-size={size[0]},{size[1]}",
            "about:blank",
        ]  # fmt: skip
        # DevTools are spoken on descriptors 3 and 4: here, this process's standard ones.
        script = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null'
        with open(folder / "chromium.log", "w") as log:
            self.process = subprocess.Popen(
                inside("sh", "-c", script, "sh", program, *flags),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                start_new_session=True, env=os.environ | {"HOME": str(folder)},
            )  # fmt: skip
        self.numbers = itertools.count(1)
        self.answers = {}
        self.arrived = threading.Condition()
        self.complaints = queue.SimpleQueue()
        self.session = None
        threading.Thread(target=self._listen, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        # What is seen is to depend on what there is, not on when one looks.
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[still])
        self.resize(*size)

    def close(self):
        """End it, and whatever it started."""
        self.session = None
        with contextlib.suppress(AssertionError, OSError, subprocess.TimeoutExpired):
            self.call("Browser.close")
            self.process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        shutil.rmtree(self.folder / "profile", ignore_errors=True)

    def _listen(self):
        left = b""
        while data := self.process.stdout.read1(1 << 20):
            *messages, left = (left + data).split(b"\0")
            for message in map(json.loads, messages):
                with self.arrived:
                    if "id" in message:
                        self.answers[message["id"]] = message
                        self.arrived.notify_all()
                self._hear(message)
        with self.arrived:
            self.answers[None] = {}
            self.arrived.notify_all()

    def _hear(self, message):
        told = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.put(details.get("exception", details).get("description", str(details)))
        elif message.get("method") == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.put(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    def complained(self):
        """What the page's scripts and the browser complained about since it was asked last."""
        found = []
        while not self.complaints.empty():
            found.append(self.complaints.get())
        return found

    # --- the protocol

    def call(self, method, **params):
        """One command's result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        with self.arrived:
            there = self.arrived.wait_for(
                lambda: number in self.answers or None in self.answers, WITHIN
            )
            assert there and number in self.answers, (
                f"no answer to {method}: {(self.folder / 'chromium.log').read_text()[-2000:]}"
            )
            answer = self.answers.pop(number)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        return answer["result"]

    def run(self, script):
        """The value of an expression, of its promise if it is one."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, f"{script}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def until(self, script, seconds=WITHIN):
        """Wait until an expression is true; its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"it did not come true: {script}"
            time.sleep(0.05)
        return value

    # --- hands and eyes

    def before_all(self, script):
        """Run a script before those of every page that is opened from now on."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def resize(self, width, height, *, touch=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=touch)  # fmt: skip

    def click(self, selector):
        """Click in the middle of an element, as a mouse does."""
        place = json.dumps(selector)
        self.until(f"Boolean(document.querySelector({place}))")
        at = self.run(
            f"(() => {{ const node = document.querySelector({place});"
            " node.scrollIntoView({block: 'nearest', inline: 'nearest'});"
            " const box = node.getBoundingClientRect();"
            " return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def key(self, name):
        """Press and let go a key."""
        about = {"key": name, "windowsVirtualKeyCode": KEYS.get(name) or ord(name.upper())}
        if len(name) == 1:
            about["text"] = name
        elif name == "Enter":
            about["text"] = "\r"
        self.call("Input.dispatchKeyEvent", type="keyDown", **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path):
        """A PNG of what is seen."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))
