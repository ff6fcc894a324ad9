"""Carries out one command line of headflow-plot after another, with the protocol of many_commands.cpp.

Matplotlib and h5py are imported once. Each command runs in a child, so that a crash and what it leaves are its own.
"""
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(os.environ["HEADFLOW_PLOT"]).absolute().parent / "python"))
import headflow.plot.animation  # noqa: E402,F401  (what headflow-plot imports only when it is needed)
import headflow.plot.command  # noqa: E402
import headflow.plot.pages  # noqa: E402,F401

MOST_SECONDS = 20  # of processor time, after which SIGXCPU ends a command


def read_words():
    """The next command, empty at the end: first the folder in which it runs, then its words."""
    count = int(sys.stdin.buffer.readline() or 0)
    return [sys.stdin.buffer.read(int(sys.stdin.buffer.readline())) for _ in range(count)]


def be_command(words, captured):
    """In a child, which ends here."""
    for stream, file in enumerate(captured, 1):
        os.dup2(file.fileno(), stream)
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, resource.RLIM_INFINITY))
    os.chdir(words[0])
    sys.argv = ["headflow-plot", *map(os.fsdecode, words[1:])]
    code = 0
    try:
        headflow.plot.command.main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    captured = [tempfile.TemporaryFile() for _ in range(2)]  # what is printed, and messages
    while words := read_words():
        child = os.fork()
        if child == 0:
            be_command(words, captured)
        _, status, used = os.wait4(child, 0)
        texts = []
        for file in captured:
            file.seek(0)
            texts.append(file.read())
            file.seek(0)
            file.truncate()
        milliseconds = 1000 * (used.ru_utime + used.ru_stime)
        head = b"%d 0 %d %d %d\n" % (os.waitstatus_to_exitcode(status), milliseconds, *map(len, texts))
        sys.stdout.buffer.write(head + b"".join(texts))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
