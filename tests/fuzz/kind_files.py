"""Tries: outputs and checkpoints."""
import random
import shutil

import h5py
import numpy as np

from inputs import small_input
from harness import changed, toml_text
from kind import Kind


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


def damage(randomness, path):
    """Flips bytes, cuts, replaces a file by another kind, or changes what is in it."""
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
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError):
            pass  # what h5py itself refuses; the file is as it is
        return
    path.write_bytes(data)


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
        damage(randomness, folder / name)
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
