"""jobs/paper.sh: every run of every picture is one that headflow accepts, and every picture is drawn."""
import re

from harness import HANGS, PROGRAM, TOP, SystemTest, environment, execute, main, side_by_side

# Checks in place of running, without ranks, and of many starts alike the first alone.
MPIRUN = """#!/bin/bash
if [[ "$*" =~ -flow-[0-9]+-([2-9]|1.) ]]; then
    echo 0 > "$HEADFLOW_EXIT"
else
    exec "$3" check "${@:5}" > /dev/null
fi
"""
PLOT = """#!/bin/bash
echo "$@" >> "$DRAWN"
"""


class Paper(SystemTest):
    def setUp(self):
        super().setUp()
        for name, text in {"mpirun": MPIRUN, "headflow-plot": PLOT}.items():
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o755)
        (self.folder / "headflow").symlink_to(PROGRAM)

    def paper(self, name, *options, **variables):
        """What the script did for one picture: the finished script, and the words of headflow-plot."""
        env = environment(HEADFLOW=str(self.folder / "headflow"), HEADFLOW_OUT=str(self.folder / f"of-{name}"),
                          DRAWN=str(self.folder / f"{name}.drawn"), **variables)
        env["PATH"] = f"{self.folder}:{env['PATH']}"
        done = execute(self.folder, [TOP / "jobs/paper.sh", name, *options], timeout=HANGS, env=env)
        drawn = self.folder / f"{name}.drawn"
        return done, drawn.read_text() if drawn.exists() else ""

    def test_every_picture(self):
        names = [line.split()[0] for line in execute(self.folder, [TOP / "jobs/paper.sh", "list"]).stdout.splitlines()]
        gallery = {path.stem for path in (TOP / "input").glob("**/*.png")}
        self.assertLess({path.stem for path in (TOP / "input/claims").glob("*.toml")}, set(names))
        pictures = set()
        for name, (done, drawn) in zip(names, side_by_side(self.paper, names)):
            with self.subTest(name):
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                made = set(re.findall(r"-o \S*/([\w-]+)\.png", drawn))
                self.assertTrue(made)
                pictures |= made
        self.assertEqual(pictures, gallery)

    def test_refused_numbers(self):
        """A refusal leaves no empty folder; where the output is there, it names what chooses another one."""
        folder = self.folder / "of-fig02"
        bad = "--set", "model.nonsense=1"
        for there in False, True:
            if there:
                folder.mkdir()
                (folder / "fig02-H1.h5").touch()
            done, drawn = self.paper("fig02", *bad)
            self.assertEqual((done.returncode, drawn), (2, ""))
            self.assertEqual(folder.exists(), there)
            self.assertEqual(f"choose another HEADFLOW_OUT (this was {folder})" in done.stderr, there, done.stderr)

    def test_largest_dimension(self):
        """Of SGD; the flow goes on to 10^12."""
        for largest, code in ("1", 2), ("10", 2), ("six", 2), ("3", 0):
            done, drawn = self.paper("specialization_time", HEADFLOW_LARGEST=largest)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(re.findall(r"-sgd-(\d+)\.h5", drawn), ["2", "3"] if code == 0 else [])
            refused = f"HEADFLOW_LARGEST must be a number from 2 to 9, found '{largest}'"
            self.assertEqual(refused in done.stderr, code == 2)

    def test_unknown_picture(self):
        done, drawn = self.paper("fig99")
        self.assertEqual((done.returncode, drawn), (2, ""))
        self.assertIn("found 'fig99'", done.stderr)


if __name__ == "__main__":
    main()
