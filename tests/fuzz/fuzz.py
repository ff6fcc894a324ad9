"""Tries headflow with what nobody thought of: inputs, command lines, files and names of files, made at random.

    HEADFLOW=build/release/headflow HEADFLOW_MANY=build/release/tests/fuzz/many_commands \\
        /usr/bin/python3 tests/fuzz/fuzz.py [--seconds 60] [--seed 1] [--kind inputs] [--only 7] [--keep FOLDER]

Of each command line: no crash, no hang, a documented exit code, one line of message when it fails, warnings alone when
it does not, nothing overwritten that it was not asked to replace, nothing left open; and what `check` prints is the
same input again. First come the inputs and command lines in corpus/, each of which once failed. A try is known by kind
and number: --kind and --only repeat it. Prints a table; exit code 1 when anything was found, kept in FOLDER.
"""
import argparse
import json
import os
import random
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from inputs import HUGE, TEXTS, Values, key_table, random_of, small_input
from harness import PROGRAM, TOP, changed, environment, toml_text

MANY = Path(os.environ.get("HEADFLOW_MANY", "build/release/tests/fuzz/many_commands")).absolute()
CORPUS = Path(__file__).resolve().parent / "corpus"
HANG = 5     # seconds of processor time
GONE = 300   # seconds after which one that does nothing is taken to wait for ever
WAITS = -1000
FINISHED, BAD_INPUT, NUMERICAL, FILE_FAILURE, STOPPED = 0, 2, 3, 4, 75
MEMORY = 4 << 30  # a limit on the address space: what asks for more must be told so


class Answer(NamedTuple):
    code: int          # negative: the signal that ended it
    open: int          # HDF5 objects left open
    output: str
    errors: str
    seconds: float     # of processor time


class Driver:
    """many_commands, which is asked for one command line after another."""
    def __init__(self):
        self.start()

    def start(self):
        self.process = subprocess.Popen(["prlimit", f"--as={MEMORY}", "--core=0", MANY], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, env=environment(TERM="dumb"), start_new_session=True)

    def ask(self, folder, words):
        request = [os.fsencode(word) for word in (str(folder), *words)]
        self.process.stdin.write(b"%d\n" % len(request) + b"".join(b"%d\n%b" % (len(word), word) for word in request))
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], GONE)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            self.start()
            return Answer(WAITS, 0, "", "", 0)
        code, left, milliseconds, printed, said = map(int, self.process.stdout.readline().split())
        output, errors = (self.process.stdout.read(size).decode(errors="surrogateescape") for size in (printed, said))
        return Answer(code, left, output, errors, milliseconds / 1000)

    def close(self):
        self.process.communicate()


def content(folder):
    """{name: (kind, bytes)} of all below a folder, but for pipes and the like."""
    found = {}
    for root, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            path = os.path.join(root, name)
            if os.path.islink(path):
                found[path] = ("link", os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[path] = ("file", file.read())
            else:
                found[path] = ("other", os.lstat(path).st_mode)
    return found


def faults_in(answer, words, before, after):
    """[what is wrong with an answer]."""
    found = []
    if answer.code == WAITS:
        return ["waits for ever"]
    if answer.code < 0:
        return [f"crash, signal {-answer.code}: {answer.errors[-500:]}"]
    if answer.seconds > HANG:
        found.append(f"{answer.seconds:.1f} s of processor time")
    if answer.code not in (FINISHED, BAD_INPUT, NUMERICAL, FILE_FAILURE, STOPPED):
        found.append(f"exit code {answer.code}")
    lines = answer.errors.split("\n")
    if answer.errors and lines.pop() != "":
        found.append("the last message has no end of line")
    failures = [line for line in lines if not line.startswith("headflow: warning: ")] if answer.errors else []
    if answer.code in (FINISHED, STOPPED) and failures:
        found.append(f"success, but it says {failures[0]!r}")
    if answer.code not in (FINISHED, STOPPED) and (len(failures) != 1
                                                   or not failures[0].startswith("headflow: error: ")):
        found.append(f"not one line of message: {failures}")
    if any(len(line) > 2000 for line in lines):
        found.append(f"a message of {max(map(len, lines))} characters")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", answer.errors):
        found.append(f"control characters in a message: {answer.errors!r}")
    if answer.open:
        found.append(f"{answer.open} HDF5 objects left open")
    reads_only = words[:1] in (["check"], ["info"]) or not words or answer.code == BAD_INPUT
    if reads_only and before != after:
        names = {name for name in set(before) | set(after) if before.get(name) != after.get(name)}
        found.append(f"files changed: {sorted(names)[:5]}")
    return found


class Kind:
    """What is tried: `one` makes a case from a stream of random numbers in an empty folder and gives command lines."""
    def __init__(self, folder):
        self.originals = folder  # what is made once
        self.table = key_table()
        self.prepare()

    def prepare(self):
        pass

    @staticmethod
    def run(folder, *words):
        done = subprocess.run([PROGRAM, *words], cwd=folder, capture_output=True, text=True, env=environment())
        if done.returncode not in (FINISHED, STOPPED):
            raise RuntimeError(f"{words}: {done.stderr}")


class Inputs(Kind):
    """Texts in TOML: valid, nearly so, hostile; by the table of keys, and with bytes changed."""
    def prepare(self):
        self.texts = [path.read_bytes() for path in sorted((TOP / "input").rglob("*.toml"))]

    def one(self, randomness, folder):
        values = Values(randomness)
        if randomness.random() < 0.15:
            text = self.bytes_changed(randomness)
        else:
            text = self.structured(randomness, values)
        (folder / "case.toml").write_bytes(text)
        words = ["check", "case.toml"]
        for _ in range(randomness.choice((0, 0, 0, 1, 2))):
            key = randomness.choice(self.table)
            value = toml_text({"x": {"y": values.any(key)}}).split(" = ", 1)[1].strip()
            words += ["--set", f"{key.path}={value}"]
        yield [word.replace("\0", "") for word in words]

    def structured(self, randomness, values):
        sections = small_input(randomness)
        if randomness.random() < 0.2:
            sections["sweep"] = values.sweep(self.table)
        for _ in range(randomness.choice((0, 1, 1, 2, 3))):
            key = randomness.choice(self.table)
            how = randomness.randrange(10)
            if how == 0:
                sections = changed(sections, {randomness.choice(list(sections)): None})
            elif how == 1:
                name = randomness.choice(list(sections))
                sections[name].pop(randomness.choice(list(sections[name]) or [""]), None)
            elif how == 2:
                sections.setdefault(key.section, {})[randomness.choice(("", "x", "a.b",
                                                                        key.name + "s"))] = values.hostile()
            elif how == 3:
                sections[randomness.choice(("", "x", "Model", "sweep", "a.b"))] = {"x": values.hostile()}
            else:
                sections.setdefault(key.section, {})[key.name] = values.any(key)
        text = self.text(sections)
        if randomness.random() < 0.05:
            text += randomness.choice(("\n[model]\ntokens = 3\n", "\nmodel.tokens = 3\n", "\n[[flow]]\n",
                                       "\n\"\"\"\n", "\n[",
                                       "\n" + "#" * 100_000 + "\n", "\n\0\n", "\r\n", "\r",
                                       "\n[a" + ".a" * 300 + "]\n"))
        return text.encode(errors="surrogateescape")

    @staticmethod
    def text(sections):
        quoted = {name if re.fullmatch(r"\w+", name, re.ASCII) else f'"{name}"': keys for name,
                  keys in sections.items()}
        return toml_text({section: {key if re.fullmatch(r"[\w]+", key, re.ASCII) else f'"{key}"': value
                                    for key, value in keys.items()} if isinstance(keys, dict) else {}
                          for section, keys in quoted.items()})

    def bytes_changed(self, randomness):
        text = bytearray(randomness.choice(self.texts))
        for _ in range(randomness.choice((1, 1, 2, 5, 20))):
            place = randomness.randrange(len(text) + 1)
            how = randomness.randrange(4)
            if how == 0 and text:
                text[min(place, len(text) - 1)] = randomness.randrange(256)
            elif how == 1:
                del text[place:place + randomness.choice((1, 1, 4, 50))]
            elif how == 2:
                text[place:place] = randomness.choice((b"=", b"[", b"]", b"\"", b"'", b"\n", b".", b",", b"-", b"\\",
                                                       b"{", b"1e9",
                                                       b"\xff", b"\xc3", *(value.encode() for value in HUGE)))
            else:
                piece = text[place:place + randomness.choice((5, 50))]
                other = randomness.randrange(len(text) + 1)
                text[other:other] = piece
        return bytes(text)


class Commands(Kind):
    """Words of the command line, known and unknown, in any order."""
    WORDS = ("run", "check", "info", "merge", "documentation", "--help", "-h", "--version", "--force", "-f", "--set",
             "--output",
             "--restart", "--max-walltime", "--part", "--members", "auto", "none", "1/2", "2/1", "0/1", "1/0", "1/x",
             "-1/2",
             "99999999999999999999/3", "1e3", "0:00:01", "00:61", "nan", "inf", "-5", "case.toml", "case.h5",
             "none.toml", "none.h5",
             "flow.end_time=1", "flow.end_time", "=", "flow.=1", ".=1", "flow.end_time=", "a=b=c", "flow.end_time=\"",
             "--", "-",
             "-flow_ts_rk_type", "3bs", "-flow_", "-flow_ts_adapt_type", "-train_tao_type", "-saddle_ts_type", "bncg",
             "-x", "--forc",
             "man", "bash-completion", "--flow_ts_type", "-flow_ts_max_steps", "-3", "-flow_ts_view", "-sgd_x",
             "--set=", "--output=",
             "--set=flow.end_time=2", "case.checkpoint-1.h5", "/", ".", "..", "case.toml.stop", "@case.toml", "%config")

    def prepare(self):
        (self.originals / "case.toml").write_text(toml_text(small_input(random.Random(5), ("flow",))))
        self.run(self.originals, "run", "case.toml")

    def one(self, randomness, folder):
        shutil.copytree(self.originals, folder, dirs_exist_ok=True)
        count = randomness.choice((0, 1, 2, 3, 4, 6, 10))
        words = [randomness.choice(self.WORDS if randomness.random() < 0.93 else TEXTS) for _ in range(count)]
        if randomness.random() < 0.6:
            words[:0] = [randomness.choice(("run", "check", "check", "info", "merge"))]
            if randomness.random() < 0.6:
                words[1:1] = [randomness.choice(("case.toml", "case.toml", "case.h5"))]
        yield words


def changed_hdf5(randomness, path):
    """Takes out, renames or replaces something in an HDF5 file."""
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        if not names:
            return
        name = randomness.choice(names)
        how = randomness.randrange(10)
        if how == 0:
            del file[name]
        elif how == 1:
            file.move(name, name + "x")
        elif how == 2:
            attributes = randomness.choice([file, file[name]]).attrs
            if len(attributes):
                del attributes[randomness.choice(list(attributes))]
        elif how == 3:
            attributes = randomness.choice([file, file[name]]).attrs
            if len(attributes):
                attributes[randomness.choice(list(attributes))] = randomness.choice((1, 1.5, "x", [1, 2], b"\xff", "",
                                                                                     2**62))
        else:
            shape = file[name].shape if isinstance(file[name], h5py.Dataset) else ()
            del file[name]
            other = {4: "text", 5: np.zeros(shape or (1,), "f4"), 6: np.zeros(tuple(n + 1 for n in shape)),
                     7: np.full(shape, np.nan),
                     8: np.zeros(3, [("a", "f8"), ("b", "S3")]), 9: ["a", "b\0c"]}
            if randomness.random() < 0.1:
                file.create_dataset(name, (2**40, 3), "f8", chunks=(1024, 3))
            elif randomness.random() < 0.1:
                file[name] = h5py.SoftLink(randomness.choice(("/none", "/" + name, "/")))
            elif randomness.random() < 0.1:
                file[name] = h5py.Empty("f8")
            else:
                file[name] = other[how]


class Files(Kind):
    """Outputs and checkpoints with bytes flipped, things taken out or replaced, of other programs, of no program."""
    def prepare(self):
        self.folders = []
        for number in range(8):
            folder = self.originals / str(number)
            folder.mkdir()
            sections = small_input(random.Random(number), ("flow", "sgd", "train"))
            if number % 2:
                sections = changed(sections, {"sweep": {"start.seed": [1, 2, 3]} if "seed" in sections["start"]
                                              else {"population.seed": [1, 2, 3]}})
            (folder / "case.toml").write_text(toml_text(sections))
            self.run(folder, "run", "case.toml")
            if number % 2:
                for part in "12":
                    self.run(folder, "run", "case.toml", "--part", f"{part}/2", "--output", f"part{part}.h5")
            self.folders.append(folder)

    def one(self, randomness, folder):
        shutil.copytree(randomness.choice(self.folders), folder, dirs_exist_ok=True)
        files = sorted(path.name for path in folder.glob("*.h5"))
        name = randomness.choice(files)
        self.damage(randomness, folder / name)
        how = randomness.randrange(6)
        if how == 0:
            yield ["info", name]
        elif how == 1:
            yield ["merge", "all.h5", name, randomness.choice(files)]
        elif how == 2:
            (folder / "next.toml").write_text((folder / "case.toml").read_text().replace("[sweep]", "[unused]"))
            member = ["--set", "start.member=[1]"] if randomness.random() < 0.5 else []
            start = {"file": name}
            sections = changed(small_input(randomness, ("flow",)), {"start": start})
            (folder / "next.toml").write_text(toml_text(sections))
            yield ["check", "next.toml", *member]
            yield ["run", "next.toml", *member]
        elif how == 3:
            yield ["run", "case.toml", "--restart", name]
        else:
            if randomness.random() < 0.5:
                (folder / "case.h5").unlink(missing_ok=True)
            yield ["check", "case.toml"]
            yield ["run", "case.toml"]

    def damage(self, randomness, path):
        data = bytearray(path.read_bytes())
        how = randomness.randrange(9)
        if how <= 2:
            for _ in range(randomness.choice((1, 1, 3, 30))):
                limit = len(data) if randomness.random() < 0.5 else min(len(data), 4000)
                data[randomness.randrange(limit)] ^= 1 << randomness.randrange(8)
        elif how == 3:
            del data[randomness.randrange(len(data)):]
        elif how == 4:
            data = bytearray(randomness.choice((b"", b"\x89HDF\r\n\x1a\n", b"\x00" * 5000, b"CDF\x01", b"text\n",
                                                bytes(data) * 2)))
        elif how == 5:
            with h5py.File(path, "w") as file:
                file["data"] = np.arange(5.0)
                file.create_group("flow")
                file.attrs["Conventions"] = "other"
            return
        else:
            try:
                for _ in range(randomness.choice((1, 1, 2))):
                    changed_hdf5(randomness, path)
            except (OSError, RuntimeError, KeyError, ValueError, TypeError):
                pass  # what h5py itself refuses; the file is as it is
            return
        path.write_bytes(data)


class Names(Kind):
    """Names of inputs, outputs and starts: odd characters, lengths, folders, links, pipes, what is not there."""
    PIECES = ("a", ".", "..", "/", " ", "\t", "\n", "\\", "\"", "'", "#", "$HOME", "*", "?", "\u20ac", "\u202e",
              "\udcff", "~", ":", "%n",
              "x" * 100, "x" * 255, "folder", "link", "loop", "pipe", "file", ".h5", ".toml", ".part", ".stop",
              ".lock", ".checkpoint-1.h5",
              "-", "=", "dangling", "readonly")

    def prepare(self):
        self.sections = changed(small_input(random.Random(5), ("flow",)), {"flow": {"end_time": 0.3, "outputs": 1}})
        self.sections["start"] = {"noise": 0.1}

    def name(self, randomness):
        name = "".join(randomness.choice(self.PIECES) for _ in range(randomness.choice((1, 1, 2, 3, 4))))
        name = name.lstrip("/")  # nothing outside of the folder
        while ".." in name.split("/"):
            name = "/".join(piece for piece in name.split("/") if piece != "..")
        return name.lstrip("/") or "a"

    def one(self, randomness, folder):
        (folder / "folder").mkdir()
        (folder / "file").write_text("precious\n")
        (folder / "link").symlink_to("file")
        (folder / "loop").symlink_to("loop")
        (folder / "dangling").symlink_to("nowhere/x")
        os.mkfifo(folder / "pipe")
        (folder / "case.toml").write_text(toml_text(self.sections))
        name = self.name(randomness)
        how = randomness.randrange(5)
        if how == 0:
            yield ["run", "case.toml", "--output", name]
            yield ["run", "case.toml", "--output", name]
        elif how == 1:
            (folder / "case.toml").write_text(toml_text(changed(self.sections, {"output.file": name})),
                                              errors="surrogateescape")
            yield ["check", "case.toml"]
            yield ["run", "case.toml"]
        elif how == 2:
            (folder / "case.toml").write_text(toml_text(changed(self.sections, {"start": {"file": name}})),
                                              errors="surrogateescape")
            yield ["check", "case.toml"]
        elif how == 3 and not name.startswith("pipe"):
            yield [randomness.choice(("run", "check", "info")), name]
        else:
            yield ["merge", self.name(randomness), name]


KINDS = {"inputs": Inputs, "commands": Commands, "files": Files, "names": Names}


class Fuzzer:
    def __init__(self, folder, keep, seed):
        self.driver, self.folder, self.keep, self.seed = Driver(), folder, keep, seed
        self.codes = {name: Counter() for name in ("corpus", *KINDS)}
        self.found = []

    def fault(self, kind, number, folder, words, faults):
        self.found.append((kind, number))
        where = self.keep / f"{kind}-{self.seed}-{number}"
        shutil.copytree(folder, where, symlinks=True, dirs_exist_ok=True, ignore=lambda at, names: [
            name for name in names if not (os.path.isfile(f"{at}/{name}") or os.path.isdir(f"{at}/{name}"))])
        text = "\n".join([shlex.join(["headflow", *words]).encode(errors="backslashreplace").decode(), *faults])
        (where / "faults.txt").write_text(text + "\n")
        print(f"{kind} {number}: {text}".encode(errors="backslashreplace").decode(), flush=True)

    def carry_out(self, kind, number, folder, words):
        """One command line; its answer."""
        before = content(folder)
        answer = self.driver.ask(folder, words)
        self.codes[kind][answer.code] += 1
        faults = faults_in(answer, words, before, content(folder))
        if answer.code == FINISHED and words[:1] == ["check"] and not faults and "--members" not in words:
            faults = self.reads_back(folder, answer.output)
        if faults:
            self.fault(kind, number, folder, words, faults)
        return answer

    def reads_back(self, folder, output):
        """[what is wrong when what `check` has printed is read again]."""
        if not output.startswith("["):  # help or version
            return []
        path = folder / "resolved.toml"
        path.write_text(output, errors="surrogateescape")
        again = self.driver.ask(folder, ["check", "resolved.toml"])
        path.unlink()
        if again.code != FINISHED:
            return [f"what check prints is refused: {again.errors}"]
        first, second = (re.split(r"^# (?!warning)", text, flags=re.M)[0].split("# warning")[0]
                         for text in (output, again.output))
        return [] if first == second else [f"what check prints reads back as another input:\n{first}\n{second}"]

    def replay(self):
        """The corpus."""
        for path in sorted(CORPUS.iterdir()):
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            if path.suffix == ".toml":
                shutil.copy(path, folder / "case.toml")
                self.carry_out("corpus", path.name, folder, ["check", "case.toml"])
            elif path.suffix == ".json":
                (folder / "case.toml").write_text(toml_text(small_input(random.Random(5), ("flow",))))
                for number, words in enumerate(json.loads(path.read_text())):
                    self.carry_out("corpus", f"{path.name}-{number}", folder, words)
            shutil.rmtree(folder)

    def try_one(self, name, kind, number):
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        for words in kind.one(random_of(self.seed, name, number), folder):
            self.carry_out(name, number, folder, words)
        shutil.rmtree(folder, ignore_errors=True)

    def table(self):
        head = "kind | tried | finished | bad input | numerical | file | stopped | faults".split(" | ")
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for name, codes in self.codes.items():
            counts = [codes[code] for code in (FINISHED, BAD_INPUT, NUMERICAL, FILE_FAILURE, STOPPED)]
            faults = sum(1 for kind, _ in self.found if kind == name)
            lines.append(f"| {name} | {sum(codes.values())} | {' | '.join(map(str, counts))} | {faults} |")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "headflow-fuzz")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headflow-fuzz-") as folder:
        fuzzer = Fuzzer(Path(folder), arguments.keep.absolute(), arguments.seed)
        kinds = {}
        for name in [arguments.kind] if arguments.kind else KINDS:
            originals = Path(folder) / f"originals-{name}"
            originals.mkdir()
            kinds[name] = KINDS[name](originals)
        if arguments.only is not None:
            for name, kind in kinds.items():
                fuzzer.try_one(name, kind, arguments.only)
        else:
            fuzzer.replay()
            end, number = time.monotonic() + arguments.seconds, 0
            while number == 0 or time.monotonic() < end:
                for name, kind in kinds.items():
                    fuzzer.try_one(name, kind, number)
                number += 1
        fuzzer.driver.close()
        print(fuzzer.table())
    if fuzzer.found:
        print(f"{len(fuzzer.found)} faults; see {arguments.keep}")
    return 1 if fuzzer.found else 0


if __name__ == "__main__":
    sys.exit(main())
