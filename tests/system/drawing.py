"""headflow-plot started many times: each call is a fork of one process that has loaded matplotlib, which takes most of
the time of a small picture. The test of one call compares it with a process of its own."""
import atexit
import contextlib
import io
import json
import os
import runpy
import socket
import socketserver
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import HANGS, PLOT, environment


def started(words, folder, output, errors):
    """The exit code of headflow-plot, in a process that takes over what is loaded here."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(folder)
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    code = 1
    try:
        run(words)
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(words):
    sys.argv = [str(PLOT), *words]
    runpy.run_path(str(PLOT), run_name="__main__")


class Call(socketserver.StreamRequestHandler):
    def handle(self):
        words, folder = json.loads(self.rfile.readline())
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            code = started(words, folder, output, errors)
            said = []
            for file in output, errors:
                file.seek(0)
                said.append(file.read())
        self.wfile.write(json.dumps([code, *said]).encode())


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Ends with the test that has started it, however that ends."""
    request_queue_size = 100

    def __init__(self, path):
        self.test = os.getppid()
        super().__init__(path, Call)

    def service_actions(self):
        super().service_actions()
        if os.getppid() != self.test:
            os._exit(0)


class Drawing:
    """Of one test program."""
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="headflow-test-")
        self.path = str(Path(self.folder.name) / "draw")
        self.server = subprocess.Popen([sys.executable, "-B", __file__, self.path], env=environment(),
                                       stdout=subprocess.PIPE, text=True)
        atexit.register(self.end)
        assert self.server.stdout.readline() == "ready\n"

    def end(self):
        self.server.terminate()
        self.server.communicate()
        self.folder.cleanup()

    def draw(self, folder, *words):
        """headflow-plot in that folder: what subprocess.run returns."""
        words = [str(word) for word in words]
        with socket.socket(socket.AF_UNIX) as call:
            call.settimeout(HANGS)
            call.connect(self.path)
            call.sendall(json.dumps([words, str(folder)]).encode() + b"\n")
            with call.makefile() as answer:
                return subprocess.CompletedProcess(words, *json.loads(answer.read()))


def serve(path):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        run(["--help"])  # which loads everything
    with Server(path) as server:
        print("ready", flush=True)
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    serve(sys.argv[1])
