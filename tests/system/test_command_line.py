"""What the program says before it computes: help, version, wrong words, alone and under mpirun."""
from harness import BAD_INPUT, SystemTest, command, environment, execute, main

WRONG = (["rum", "case.toml"], ["run"], ["run", "case.toml", "--part", "3/2"], ["info"], ["--nonsense"])


class CommandLine(SystemTest):
    def without_mpi(self, *words):
        """headflow where MPI cannot start: its folder of temporary files is none."""
        (self.folder / "file").touch()
        nowhere = str(self.folder / "file")
        return execute(self.folder, command(*words), env=environment(TMPDIR=nowhere, OMPI_MCA_orte_tmpdir_base=nowhere))

    def test_words_need_no_mpi(self):
        self.write_input()
        self.assertNotEqual(self.without_mpi("check", "case.toml").returncode, 0, "MPI starts all the same")
        for words in (["--help"], ["-h"], ["--version"], ["run", "--help"], ["merge", "-h"]):
            done = self.without_mpi(*words)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertIn("headflow", done.stdout)
        for words in WRONG:
            done = self.without_mpi(*words)
            self.assertEqual((done.returncode, done.stdout), (BAD_INPUT, ""), words)
            self.assertRegex(done.stderr, r"\Aheadflow: error: .+\n\Z")

    def test_said_once_under_mpirun(self):
        for words in (["--help"], ["--version"]):
            done = self.headflow(*words, ranks=3)
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)
            self.assertEqual(done.stdout, self.succeed(*words))
        for words in WRONG:
            done = self.headflow(*words, ranks=3)
            self.assertEqual((done.returncode, done.stdout.count("headflow: error")), (BAD_INPUT, 0), words)
            self.assertEqual(done.stderr.count("headflow: error"), 1, done.stderr)

    def test_one_of_many_tasks_speaks_for_itself(self):
        """Slurm's number of a task is no rank: whether started in one job or alone, each says what is wrong."""
        for name, speaks in (("SLURM_PROCID", True), ("PMIX_RANK", False), ("PMI_RANK", False)):
            done = execute(self.folder, command("--version"), env=environment(**{name: "1"}))
            self.assertEqual((done.returncode, done.stdout != ""), (0, speaks), name)
        done = execute(self.folder, command("rum"), env=environment(SLURM_PROCID="1"))
        self.assertEqual((done.returncode, done.stderr.count("headflow: error")), (BAD_INPUT, 1))


if __name__ == "__main__":
    main()
