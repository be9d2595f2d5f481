"""A browser for tests: chromium driven over the DevTools protocol through a pipe; no port, no driver, no network."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PATIENCE_S = 60.0


class Browser:
    """One headless chromium with one page; collects what the page logs and every request it makes."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="fedlite-browser-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # Chromium reads its commands from descriptor 3 and answers on 4.
        command = [
            "bash", "-c", f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}', CHROMIUM,
            "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            f"--user-data-dir={self._profile}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._count, self._session = b"", 0, None
        self.logged, self.requested = [], []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        """Send a command, wait for its answer, note the events in between."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            piece = os.read(self._read, 1 << 20)
            assert piece, "chromium ended"
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(text)

    def _note(self, event):
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.logged.append(json.dumps(params["exceptionDetails"])[:500])
        if event.get("method") == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            self.logged.append(json.dumps(params["args"])[:500])
        if event.get("method") == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            self.logged.append(params["entry"]["text"])
        if event.get("method") == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"][:200])

    def evaluate(self, expression):
        """Return the value of a JavaScript expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, path, *, width, dark=False):
        """Open a file at a width in pixels, wait until every figure is drawn."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.logged.clear()
        self.requested.clear()
        self.send("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait(
            "document.readyState === 'complete'"
            "&& (!document.querySelector('.plot') || document.documentElement.dataset.drawn)"
        )

    def wait(self, expression):
        """Ask until an expression holds."""
        end = time.monotonic() + PATIENCE_S
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.05)

    def picture(self, path, *, top=0, height=None):
        """Write the page, or a horizontal strip of it, as a PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"] - top, "scale": 1}
        found = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(found["data"]))

    def close(self):
        """End this browser."""
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)
