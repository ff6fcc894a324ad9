"""headflow started many times: each start is a fork of one process that has loaded its libraries. A test compares what
it does with a process of its own."""
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile

NUMBER = struct.Struct("i")


class ForkedProgram:
    """Of one process that calls; any of its threads may call. Ends with it."""
    def __init__(self, program, library, env):
        self.calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen([program], env=env | {"LD_PRELOAD": str(library),
                                                                  "HEADFLOW_CALLS": str(theirs.fileno())},
                                            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL)
        if self.calls.recv(5) != b"ready":
            raise OSError(f"{program} does not start with {library}")

    def run(self, words, folder, env, timeout):
        """What subprocess.run returns, with texts; raises subprocess.TimeoutExpired when the program has been ended."""
        texts = [folder, str(len(words)), *words, *(f"{name}={value}" for name, value in env.items())]
        packet = b"".join(os.fsencode(text) + b"\0" for text in texts)
        answer, to_answer = os.pipe()
        with open(answer, "rb", buffering=0) as answer, open(os.devnull, "rb") as nothing, \
                tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            with open(to_answer, "wb", buffering=0) as to_answer:
                socket.send_fds(self.calls, [packet], [file.fileno() for file in (nothing, output, errors, to_answer)])
            process, = NUMBER.unpack(answer.read(NUMBER.size))
            late = not select.select([answer], [], [], timeout)[0]
            if late:
                os.kill(process, signal.SIGKILL)
            status, = NUMBER.unpack(answer.read(NUMBER.size))
            output.seek(0)
            errors.seek(0)
            done = subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), output.read(), errors.read())
        if late:
            raise subprocess.TimeoutExpired(words, timeout, done.stdout, done.stderr)
        return done
