"""Tries: names of files."""
import os
import random

from inputs import small_input
from harness import changed, toml_text
from kind import Kind


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
