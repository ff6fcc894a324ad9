"""A headless Chromium that is told what to do through its DevTools pipe: a page as its readers have it."""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def found():
    """The browser's program, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page. `complaints` has its errors and warnings, and whatever it has asked of the network."""

    def __init__(self, width=1000, height=800):
        self.folder = tempfile.mkdtemp(prefix="headflow-browser-")
        to_browser, ours = os.pipe()
        from_browser, theirs = os.pipe()
        self.write, self.read = os.fdopen(ours, "wb"), os.fdopen(from_browser, "rb")
        words = [found(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", f"--user-data-dir={self.folder}", "--remote-debugging-pipe"]
        # The browser reads from 3 and writes to 4.
        redirected = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{theirs}', "bash", *words]
        self.process = subprocess.Popen(redirected, pass_fds=(to_browser, theirs), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env=os.environ | {"HOME": self.folder})
        os.close(to_browser)
        os.close(theirs)
        self.number, self.session, self.complaints, self.events = 0, None, [], []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network", "DOM", "Accessibility":
            self.ask(f"{domain}.enable")
        self.resize(width, height)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.write.close()
        self.read.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def receive(self):
        message = bytearray()
        while (byte := self.read.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has ended")
            message += byte
        return json.loads(message)

    def take(self, message):
        """Of what happens in the page, keep what should not."""
        name, what = message.get("method", ""), message.get("params", {})
        self.events.append(name)
        if name == "Runtime.exceptionThrown":
            self.complaints.append(what["exceptionDetails"]["text"])
        elif name == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif name == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(what["args"]))
        elif name == "Network.requestWillBeSent":
            url = what["request"]["url"]
            self.complaints += [] if url.startswith(("file:", "data:", "about:")) else [f"asks for {url}"]

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.write.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        self.write.flush()
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.take(answer)

    def open(self, path):
        self.events.clear()
        self.ask("Page.navigate", url=Path(path).absolute().as_uri())
        while "Page.loadEventFired" not in self.events:
            self.take(self.receive())

    def resize(self, width, height):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                 mobile=width < 600)

    def evaluate(self, text):
        """The value of an expression of JavaScript in the page."""
        found = self.ask("Runtime.evaluate", expression=text, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def press(self, key, code):
        for kind in "rawKeyDown", "keyUp":
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def spoken(self):
        """[(role, name)] of what a screen reader finds."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", ""))
                for node in nodes if not node.get("ignored")]
