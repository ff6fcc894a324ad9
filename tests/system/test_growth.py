"""A long run needs no more than a short one: memory and open files over many steps of a flow and of SGD, and open files
and communicators over many members of a sweep. With --long as argument 10^5 steps and 10^4 members.
"""
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from harness import SMALL, changed, main, preloaded
from restart_harness import Gate, RestartTest, ended, launch, wait_for
from fault_campaign import ranks_of

LONG = "--long" in sys.argv
STEPS = 100_000 if LONG else 20_000
MEMBERS = 10_000 if LONG else 600
MEMORY = 5.0  # MiB more in the second half: 100 bytes in each of 50000 steps; MPI itself takes up to 2
TINY = changed(SMALL, {"population.samples": 16, "population.replicates": 2, "output.checkpoint_every": 1e6,
                       "output.every": 1e6})
CASES = {  # changes, after how many questions to look
    "flow": ({"flow.method": "euler", "flow.step": 1e-3, "flow.end_time": STEPS * 1e-3, "flow.outputs": 10},
             STEPS // 10),
    "SGD": ({"flow": None, "sgd": {"dimension": 100, "batch": 1, "learning_rate": 1e-3, "steps": STEPS,
                                   "outputs": 200}}, 20),
    "sweep": ({"flow.end_time": 0.1, "flow.outputs": 1, "sweep.repeats": MEMBERS}, MEMBERS // 10),
}
# How many communicators there are, in the file that COMMUNICATORS names, of each rank.
COUNTED = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
static long count;
static int changed(int result, int by) {
  char path[4096], written[4200];
  int rank;
  FILE* file;
  if (result != MPI_SUCCESS || getenv("COMMUNICATORS") == NULL) return result;
  count += by;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(path, sizeof path, "%s.%d", getenv("COMMUNICATORS"), rank);
  snprintf(written, sizeof written, "%s.part", path);
  if ((file = fopen(written, "w")) != NULL) {
    fprintf(file, "%ld", count);
    fclose(file);
    rename(written, path);
  }
  return result;
}
int MPI_Comm_dup(MPI_Comm c, MPI_Comm* n) { return changed(PMPI_Comm_dup(c, n), 1); }
int MPI_Comm_split(MPI_Comm c, int colour, int key, MPI_Comm* n) {
  return changed(PMPI_Comm_split(c, colour, key, n), 1);
}
int MPI_Comm_split_type(MPI_Comm c, int type, int key, MPI_Info info, MPI_Comm* n) {
  return changed(PMPI_Comm_split_type(c, type, key, info, n), 1);
}
int MPI_Comm_create(MPI_Comm c, MPI_Group g, MPI_Comm* n) { return changed(PMPI_Comm_create(c, g, n), 1); }
int MPI_Comm_create_group(MPI_Comm c, MPI_Group g, int tag, MPI_Comm* n) {
  return changed(PMPI_Comm_create_group(c, g, tag, n), 1);
}
int MPI_Comm_free(MPI_Comm* c) { return changed(PMPI_Comm_free(c), -1); }
"""


class Needs(NamedTuple):
    """What a rank has at a moment."""
    memory: float  # MiB
    files: int
    communicators: int


class Growth(RestartTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counted = preloaded(cls.shared, COUNTED)

    def needs(self, process, folder):
        """Of each rank, in order."""
        found = []
        for rank, pid in enumerate(sorted(ranks_of(process))):
            status = Path(f"/proc/{pid}/status").read_text()
            memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024
            count = folder / f"communicators.{rank}"
            found.append(Needs(memory, len(os.listdir(f"/proc/{pid}/fd")), int(count.read_text())))
        return found

    def course(self, name, ranks):
        """What the ranks need at each pause of a run, after which it saves its state."""
        changes, pause = CASES[name]
        path = self.place(f"{name}{ranks}", TINY, changes)
        process = launch(path.parent, "case.toml", ranks=ranks, pause=pause, LD_PRELOAD=self.counted,
                         COMMUNICATORS=str(path.parent / "communicators"))
        gate, found = Gate(path.parent), []
        while wait_for(gate.paused.exists, process):
            found.append(self.needs(process, path.parent))
            pause = gate.pause()
            process.send_signal(signal.SIGUSR2)
            gate.wait_past(pause, process)
        stopped = ended(process)
        self.assertEqual(stopped.code, 0, stopped)
        return found

    def test_growth(self):
        for name in CASES:
            for ranks in 1, 2:
                with self.subTest(name, ranks=ranks):
                    found = self.course(name, ranks)
                    self.assertGreater(len(found), 4, "pauses")
                    if LONG:
                        print(name, *found, sep="\n", file=sys.stderr)
                    for first, last in zip(found[len(found) // 2], found[-1]):  # HDF5 and MPI warm up
                        # One may just be in use.
                        self.assertLessEqual(last.files - first.files, 1)
                        self.assertLessEqual(last.communicators - first.communicators, 1)
                        self.assertLess(last.memory - first.memory, MEMORY)


if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--long"]
    main()
