"""The pages: what they link to is there, their commands run, their messages and tables are the program's."""
import re
import shlex
import tomllib

from bits_steps import sets
from harness import PLOT, PROGRAM, SystemTest, execute, main, read_group
from pages import PART, PARTS, TOP, pages

LINES_OF_README = 130
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OWN_INPUTS = "my.toml", "sweep.toml"  # names in commands, which the quickstart's input stands for
QUICK = sets("population.samples=512 population.replicates=4 flow.end_time=5")
PLACEHOLDERS = {"..", "KEY", "COMMAND", "SECTION", "[SECTION]", "NAME", "FILE", "FILES", "OUT", "INPUT"}
WORDS_OF_OTHERS = "(Open MPI)", "(the shell)", "(Python)"


def anchors(text):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
            for heading in re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)}


def commands(text):
    """[words] of each line of a shell block that starts headflow or headflow-plot, with continued lines, and of those
    that stand in the text."""
    lines = [line for kind, block in BLOCK.findall(text) if kind == "sh"
             for line in block.replace("\\\n", " ").split("\n")]
    lines += re.findall(r"`((?:headflow|headflow-plot) [^`]+)`", BLOCK.sub("", text))
    for line in lines:
        words = shlex.split(line.replace("$a", "softmax"), comments=True)  # of a loop over activations
        while words and (words[0] in ("mpirun", "-n") or words[0].isdigit()):
            words.pop(0)
        least = {"headflow": 3, "headflow-plot": 2}.get(words[0] if words else "", 1000)  # else it only names a command
        if len(words) >= least and not PLACEHOLDERS & set(words):
            yield words


def smaller(place, words):
    """The same with a run made quick. An input of the gallery is only checked: same_bits.py runs it."""
    if words[0] in ("info", "merge"):
        return words if all((place / word).exists() for word in words[1:]) else None
    if words[0] != "run":
        return words
    if words[1] in (*OWN_INPUTS, "input/quickstart.toml") and "--part" not in words:
        return [*words, *QUICK, *([] if "--output" in words else ["--force"])]
    return ["check", *words[1:]]


def drawn(place, words):
    """The same where its files are there."""
    return words if all((place / word).exists() for word in words if word.endswith(".h5")) else None


class Pages(SystemTest):
    def each(self, check):
        """check(page, its text), for all pages."""
        for page in pages():
            with self.subTest(page.relative_to(TOP)):
                check(page, page.read_text())

    def test_readme_is_short(self):
        self.assertLessEqual(len((TOP / "README.md").read_text().splitlines()), LINES_OF_README)

    def test_links(self):
        def check(page, text):
            for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text)):
                name, _, anchor = target.partition("#")
                if not target.startswith("http"):
                    path = (page.parent / name) if name else page
                    self.assertTrue(path.exists(), target)
                    if anchor:
                        self.assertIn(anchor, anchors(path.read_text()), target)

        self.each(check)

    def test_pictures_say_what_they_show(self):
        def check(_, text):
            for alternative, name in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
                self.assertGreater(len(alternative), 5, name)

        self.each(check)

    def test_files_that_are_named(self):
        """Each word in backticks that looks like a path of the project."""
        def check(_, text):
            for name in re.findall(r"`((?:src|include|tests|jobs|input|cmake)/[\w./*-]+)`", text):
                self.assertTrue(list(TOP.glob(name.rstrip("/"))), name)

        self.each(check)

    def test_generated_parts(self):
        made = {name: make() for name, make in PARTS.items()}
        found = set()

        def check(_, text):
            for _, name, part, _ in PART.findall(text):
                found.add(name)
                self.assertEqual(part, made[name], "tests/system/pages.py writes it anew")

        self.each(check)
        self.assertEqual(found, set(PARTS))

    def test_toml_blocks(self):
        def check(_, text):
            for kind, block in BLOCK.findall(text):
                if kind == "toml":
                    tomllib.loads(block)

        self.each(check)

    def test_messages(self):
        """Of errors.md: what stands between the dots is in the sources."""
        sources = "".join(re.sub(r'"\s*\n\s*"', "", path.read_text()) for path in (TOP / "src").rglob("*.cpp"))
        rows = re.findall(r"^\| `([^`]+)`([^|]*)\|", (TOP / "input/errors.md").read_text(), re.MULTILINE)
        self.assertGreaterEqual(len(rows), 20)
        for message, whose in rows:
            if whose.strip() not in WORDS_OF_OTHERS:
                for part in filter(lambda part: len(part.strip(" :;()[]?")) > 4, message.split("..")):
                    self.assertTrue(part.strip(" ;()[]?") in sources, message)

    def page_says(self, page, pattern):
        """The numbers of a sentence of a page."""
        found = re.search(pattern, " ".join((TOP / page).read_text().split()))
        self.assertTrue(found, pattern)
        return [float(number) for number in found.groups()]

    def test_times_of_the_first_picture(self):
        """Of the flow of figure 1, with fewer samples: half of the plateau is reached before heads have aligned."""
        text = re.sub(r"\n\[sgd\].*", "", (TOP / "input/paper/fig01.toml").read_text(), flags=re.DOTALL)
        (self.folder / "case.toml").write_text(text.replace("eta = 1.0", "eta = 1.0\ndimension = 10_000"))
        self.succeed("run", "case.toml", "--set", "population.samples=16384", "--set", "flow.outputs=80")
        flow = read_group(self.folder / "case.h5")
        align, split = self.page_says("README.md",
                                      r"align with feature 1 by t = (\d+), .* along feature 2 at t = (\d+)\.")
        aligned = flow["m"][:, :, 0].mean(axis=1)
        self.assertGreater(aligned[flow["time"] >= align].min(), aligned.max() / 2)
        self.assertLess(abs(flow["split_time"][1] - split), 2)

    def test_memory_of_many_samples(self):
        (self.folder / "my.toml").write_text(next(block for kind, block in BLOCK.findall(
            (TOP / "README.md").read_text().replace("\n   ", "\n")) if kind == "toml"))
        samples, = self.page_says("jobs/README.md", r"`population.samples = (\d+)`")
        all_ranks, each = self.page_says("jobs/README.md",
                                         r"take ([\d.]+) GiB together, each rank ([\d.]+) GiB besides")
        text = self.succeed("check", "my.toml", "--set", f"population.samples={samples:.0f}")
        program, kept = map(float, re.search(r"the program ([\d.]+), samples ([\d.]+)", text).groups())
        self.assertEqual(kept, all_ranks)
        self.assertTrue(each / 2 < program < 2 * each, (program, each))  # libraries differ in size

    def test_commands(self):
        """In the order of each page, in a folder with the project's inputs."""
        shown = execute(self.folder, [PLOT, "--help"]).stdout

        def check(page, text):
            place = self.folder / str(page.relative_to(TOP)).replace("/", "-")
            place.mkdir()
            (place / "input").symlink_to(TOP / "input")
            for name in OWN_INPUTS:
                (place / name).write_text((TOP / "input/quickstart.toml").read_text())
            for program, *words in commands(text):
                words = smaller(place, words) if program == "headflow" else drawn(place, words)
                if words is None:  # of files that are not here: its options alone
                    continue
                done = execute(place, [PROGRAM if program == "headflow" else PLOT, *words])
                self.assertEqual((done.returncode, done.stderr), (0, ""), f"{program} {words}")
            for program, *words in commands(text):
                if program == "headflow-plot":
                    self.assertEqual([word for word in words if word[0] == "-" and word not in shown], [])

        self.each(check)


if __name__ == "__main__":
    main()
