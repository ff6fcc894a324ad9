"""Tries: inputs."""
import re

from inputs import HUGE, Values, small_input
from harness import TOP, changed, toml_text
from kind import Kind


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
