"""What a run says and leaves behind when it goes wrong: steps that are too large, numbers too large, a full disk."""
import re
import resource
import signal

import numpy as np

from harness import SystemTest, environment, main, preloaded, read_group


# How many libraries are unloaded while MPI ends.
UNLOADED = r"""
#define _GNU_SOURCE
#include <link.h>
#include <mpi.h>
#include <stdio.h>
static int one_more(struct dl_phdr_info* info, size_t size, void* count) { ++*(int*)count; return 0; }
int MPI_Finalize(void) {
  int before = 0, after = 0, result;
  dl_iterate_phdr(one_more, &before);
  result = PMPI_Finalize();
  dl_iterate_phdr(one_more, &after);
  fprintf(stderr, "unloaded: %d of %d\n", before - after, before);
  return result;
}
"""


class Failures(SystemTest):
    def test_crash_as_mpi_ends(self):
        """Nothing is unloaded in which a thread of MPI's may still run."""
        self.write_input()
        for ranks in 0, 2:
            done = self.headflow("run", "case.toml", "--force", ranks=ranks,
                                 env=environment(LD_PRELOAD=preloaded(self.folder, UNLOADED)))
            self.assertEqual(done.returncode, 0, done.stderr)
            unloaded = re.findall(r"unloaded: (-?\d+) of (\d+)", done.stderr)
            self.assertEqual([number for number, _ in unloaded], ["0"] * max(1, ranks), done.stderr)
            self.assertGreater(int(unloaded[0][1]), 20)

    def test_full_disk(self):
        """A file that cannot be written whole: exit code 4, one line that names it, and the older file stays."""
        self.write_input()
        (self.folder / "case.h5").write_bytes(b"an older result")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

        done = self.headflow("run", "case.toml", "--force", preexec_fn=small_files, restore_signals=False)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertRegex(done.stderr, r"headflow: error: .*case\.h5")
        self.assertEqual((self.folder / "case.h5").read_bytes(), b"an older result")

    def test_noise_beyond_all_numbers(self):
        """Exit code 3, in words, with the time of the step."""
        self.write_input({"flow.learning_rate_noise": 1e200})
        done = self.headflow("run", "case.toml")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr,
                         r"\Aheadflow: error: a number is infinite or not a number in the step from t = .*\n\Z")

    def test_the_largest_end_time(self):
        """Its output times do not overflow."""
        self.write_input({"flow.end_time": 1e308, "flow.outputs": 100})
        self.assertIn("end_time = 1e+308", self.succeed("check", "case.toml"))

    def test_steps_that_are_too_large(self):
        """The loss of fixed samples only falls. Adaptive methods see to it at any tolerance, others say what they
        did."""
        base = {"flow.end_time": 200.0, "start.noise": 0.05, "population.samples": 256, "population.replicates": 2}
        for method in "5dp", "2a", "3bs", "8vr":
            for activation in "softmax", "softmax-1", "bayes-softmax":
                with self.subTest(method=method, activation=activation):
                    changes = base | {"flow.method": method, "attention.activation": activation}
                    exact = self.run_flow(f"exact-{method}-{activation}", changes)
                    self.write_input(changes | {"flow.tolerance": 0.1}, "rough")
                    done = self.headflow("run", "rough.toml", "--force")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    rough = read_group(self.folder / "rough.h5")
                    self.assertEqual((np.diff(exact["loss"]) > 1e-12).sum(), 0)
                    self.assertEqual(exact["loss_rises"][-1], 0)
                    # No step rises; what is interpolated between their ends may, and is told.
                    rises = np.diff(rough["loss"])
                    told = rises > 1e-9 * rough["loss"][:-1]
                    self.assertEqual(rough["loss_rises"][-1], told.sum())
                    self.assertEqual("the loss has risen" in done.stderr, told.any(), done.stderr)
                    self.assertAlmostEqual(rough["largest_loss_rise"][-1], max(rises.max(), 0), delta=1e-9)
                    self.assertAlmostEqual(rough["loss"][-1], exact["loss"][-1], delta=5e-3)
        base |= {"flow.method": "euler", "attention.activation": "bayes-softmax"}
        self.write_input(base | {"flow.step": 10.0}, "risen")
        done = self.headflow("run", "risen.toml")
        self.assertEqual(done.returncode, 0, done.stderr)
        risen = read_group(self.folder / "risen.h5")
        count, largest = risen["loss_rises"][-1], risen["largest_loss_rise"][-1]
        self.assertGreater(count, 0)
        self.assertIn(f"the loss has risen in a step or between outputs {count:g} times, by at most {largest:.2g},",
                      done.stderr)
        self.write_input(base | {"flow.step": 15.0}, "unstable")
        done = self.headflow("run", "unstable.toml")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, "has raised the loss from .* the step is too large; use a smaller flow.step")
        # With noise the loss may rise; nothing is told of it.
        noisy = self.run_flow("noisy", {"flow.learning_rate_noise": 0.5})
        self.assertTrue(np.isnan(noisy["loss_rises"]).all() and np.isnan(noisy["largest_loss_rise"]).all())

    def test_numerical_failure(self):
        """Exit code 3, said once."""
        self.write_input({"start.noise": None, "start.m": [[1e308, 1e308], [0.0, 1.0]]})
        for ranks in 0, 2:
            with self.subTest(ranks=ranks):
                done = self.headflow("run", "case.toml", "--force", ranks=ranks)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertEqual(done.stderr.count("not finite"), 1, done.stderr)


if __name__ == "__main__":
    main()
