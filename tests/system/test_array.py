"""jobs/array.sh without Slurm, told its task by Slurm's variables: seeds, parts of a sweep, lists."""
from pathlib import Path

from harness import (BAD_INPUT, PROGRAM, SMALL, SystemTest, changed, environment, execute, main, preloaded, read_group,
                     toml_text)

SCRIPT = Path(__file__).resolve().parents[2] / "jobs" / "array.sh"
SWEEP = changed(SMALL, {"flow.outputs": 2, "sweep.start.seed": [1, 2, 3, 4, 5, 6, 7, 8]})
# The ways in which a file may have a sweep.
SPELLINGS = {
    "head": "[sweep]\nrepeats = 8\n",
    "spaces": "[ sweep ]\nrepeats = 8\n",
    "quoted": '["sweep"]\nrepeats = 8\n',
    "subtable": "[sweep.start]\nseed = [1, 2, 3, 4, 5, 6, 7, 8]\n",
}


def slurm(task, first, last, step=1, count=None):
    """The variables of a task of --array=FIRST-LAST:STEP, or of a list of so many."""
    count = count or (last - first) // step + 1
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in
            {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count}.items()}


class Array(SystemTest):
    def array(self, *words, code=0, **variables):
        done = execute(self.folder, ["bash", SCRIPT, *words],
                       env=environment(HEADFLOW=str(PROGRAM), HEADFLOW_RANKS="1", **variables))
        self.assertEqual(done.returncode, code, f"{words} {variables}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def files(self):
        return sorted(path.name for path in self.folder.glob("*.h5") if ".checkpoint" not in path.name)

    def done(self, name):
        return (read_group(self.folder / name, "sweep")["done"] == 1).sum()

    def test_seeds(self):
        self.write_input()
        self.array("case.toml", **slurm(0, 0, 3))
        self.array("case.toml", HEADFLOW_TASKS="2 3")
        self.assertEqual(self.files(), [f"case-seed{i}.h5" for i in (0, 2, 3)])

    def test_parts(self):
        """A rerun of some tasks computes what they are; so do tasks by hand."""
        self.write_input(base=SWEEP)
        for task in 1, 2, 4:
            self.array("case.toml", **slurm(task, 1, 4))
        self.assertEqual([self.done(name) for name in self.files()], [2, 2, 2])
        self.assertIn("finished already", self.array("case.toml", **slurm(2, 2, 3)))
        self.array("case.toml", **slurm(3, 2, 3))
        self.assertIn("finished already", self.array("case.toml", HEADFLOW_TASKS="1"))
        names = [f"case-part{i}.h5" for i in range(1, 5)]
        self.assertEqual(self.files(), names)
        merged = self.headflow("merge", "case.h5", *names)
        self.assertIn("8 of 8 members", merged.stdout)

    def test_how_many_parts(self):
        self.write_input(base=SWEEP)
        for variables in slurm(0, 0, 3), slurm(2, 2, 3), slurm(1, 1, 7, 2), slurm(1, 1, 5, count=3):
            self.assertIn("HEADFLOW_PARTS=N", self.array("case.toml", code=BAD_INPUT, **variables))
        self.assertIn("HEADFLOW_PARTS=N", self.array("case.toml", code=BAD_INPUT, HEADFLOW_TASKS="2 3"))
        self.assertIn("1 to 2", self.array("case.toml", code=BAD_INPUT, HEADFLOW_PARTS="2", **slurm(3, 3, 3)))
        self.assertIn("HEADFLOW_PARTS", self.array("case.toml", code=BAD_INPUT, HEADFLOW_PARTS="x", **slurm(1, 1, 2)))
        self.assertEqual(self.files(), [])
        self.array("case.toml", HEADFLOW_PARTS="8", **slurm(3, 2, 3))
        self.assertEqual(self.done("case-part3.h5"), 1)
        self.array("case.toml", HEADFLOW_TASKS="1 2")
        self.assertEqual([self.done(f"case-part{i}.h5") for i in (1, 2)], [1, 1])

    def test_every_spelling_of_a_sweep(self):
        for name, text in SPELLINGS.items():
            with self.subTest(name):
                (self.folder / f"{name}.toml").write_text(toml_text(SMALL) + text)
                self.array(f"{name}.toml", **slurm(1, 1, 4))
                self.assertEqual(self.done(f"{name}-part1.h5"), 2)
        (self.folder / "dotted.toml").write_text("sweep.repeats = 8\n" + toml_text(SMALL))
        self.array("dotted.toml", **slurm(1, 1, 4))
        self.assertEqual(self.done("dotted-part1.h5"), 2)
        self.write_input(name="set")
        self.array("set.toml", "--set", "sweep.repeats=8", **slurm(1, 1, 4))
        self.assertEqual(self.done("set-part1.h5"), 2)

    def test_crash_when_all_is_done(self):
        """As MPI libraries do now and then when they unload their parts. What the program has said counts."""
        self.write_input(base=SWEEP)
        crashing = preloaded(self.folder, """
            #include <mpi.h>
            #include <signal.h>
            int MPI_Finalize(void) { signal(SIGSEGV, SIG_DFL); return raise(SIGSEGV); }""")
        text = self.array("case.toml", LD_PRELOAD=crashing, **slurm(1, 1, 4))
        self.assertIn("exited on signal 11", text)
        self.assertEqual(self.done("case-part1.h5"), 2)
        text = self.array("case.toml", "--set", "model.tokens=1", code=BAD_INPUT, LD_PRELOAD=crashing, **slurm(1, 1, 4))
        self.assertIn("model.tokens = 1", text)

    def test_lists(self):
        self.write_input()
        (self.folder / "with space.toml").write_text(toml_text(SMALL))
        (self.folder / "list.txt").write_bytes(
            b"case.toml --output q1.h5\r\ncase.toml --output q2.h5 --set 'model.signal=[3.0, 4.0]'\r\n\r\n"
            b"'with space.toml' --output q4.h5")
        self.array("list.txt", HEADFLOW_TASKS="1 2 4")
        self.assertEqual(self.files(), ["q1.h5", "q2.h5", "q4.h5"])
        for task in 0, 3, 5:
            self.assertIn(f"no line {task}", self.array("list.txt", code=BAD_INPUT, **slurm(task, 0, 5)))

    def test_bad_input(self):
        """Is refused once, before any task."""
        self.write_input({"sweep.attention.hedas": [1, 2]})
        text = self.array("case.toml", code=BAD_INPUT, **slurm(1, 1, 2))
        self.assertIn("attention.hedas", text)
        self.assertIn("whole number", self.array("case.toml", code=BAD_INPUT, HEADFLOW_TASKS="1 x"))
        self.assertIn("leave --output=x.h5 out", self.array("case.toml", "--output=x.h5", code=BAD_INPUT,
                                                            HEADFLOW_TASKS="1"))
        self.assertIn("there is no file mine.toml", self.array("mine.toml", code=BAD_INPUT, HEADFLOW_TASKS="1"))
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    main()
