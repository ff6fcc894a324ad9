"""What ranks send, counted through MPI's profiling interface: calls and bytes of each step, as functions of the shape.

Of a run and of one that is twice as long: the difference is what so many more steps need. The formulas are those of
tests/bench/README.md, from which `headflow check` tells how many ranks are of use.
"""
import re

from harness import SMALL, SystemTest, changed, command, environment, execute, main, preloaded, side_by_side, toml_text

STEPS = 40
# Calls and bytes that a rank has given to each kind of collective operation, in the file that COUNTED names.
COUNTED = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
enum { allreduce, allgather, allgatherv, bcast, sent, kinds };
static const char* const names[kinds] = {"allreduce", "allgather", "allgatherv", "bcast", "sent"};
static long calls[kinds], bytes[kinds];
static void count(int kind, long number, MPI_Datatype type) {
  int size;
  PMPI_Type_size(type, &size);
  ++calls[kind];
  bytes[kind] += number * size;
}
int MPI_Allreduce(const void* a, void* b, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c) {
  count(allreduce, n, t);
  return PMPI_Allreduce(a, b, n, t, o, c);
}
int MPI_Allgather(const void* a, int n, MPI_Datatype t, void* b, int m, MPI_Datatype u, MPI_Comm c) {
  count(allgather, n, t);
  return PMPI_Allgather(a, n, t, b, m, u, c);
}
int MPI_Allgatherv(const void* a, int n, MPI_Datatype t, void* b, const int m[], const int d[], MPI_Datatype u,
                   MPI_Comm c) {
  count(allgatherv, n, t);
  return PMPI_Allgatherv(a, n, t, b, m, d, u, c);
}
int MPI_Bcast(void* a, int n, MPI_Datatype t, int root, MPI_Comm c) {
  count(bcast, n, t);
  return PMPI_Bcast(a, n, t, root, c);
}
int MPI_Isend(const void* a, int n, MPI_Datatype t, int to, int tag, MPI_Comm c, MPI_Request* r) {
  count(sent, n, t);
  return PMPI_Isend(a, n, t, to, tag, c, r);
}
int MPI_Finalize(void) {
  int rank, i;
  char path[4096];
  FILE* file;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(path, sizeof path, "%s.%d", getenv("COUNTED"), rank);
  if ((file = fopen(path, "w")) != NULL) {
    for (i = 0; i < kinds; ++i) fprintf(file, "%s %ld %ld\n", names[i], calls[i], bytes[i]);
    fclose(file);
  }
  return PMPI_Finalize();
}
"""
FLOW = changed(SMALL, {"flow.method": "euler", "flow.step": 0.1, "flow.outputs": 1, "output.every": 1e9})
SGD = changed(FLOW, {"flow": None, "start": {"dimension": 1000.0}, "sgd": {
    "dimension": 1000, "batch": 64, "learning_rate": 1e-3, "outputs": 1, "replicas": 1}})
SHAPES = {"H2": {}, "H3": {"attention.heads": 3}, "H8": {"attention.heads": 8, "attention.activation": "bayes-softmax"}}


def words_of(heads, features):
    """8-byte words in the sum of a right-hand side: 6 for each of the loss, de/dK, de/db, de/dv, and 4 more."""
    return 6 * (heads * (features + heads + 1) + 2) + 4


class Communication(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.counted = preloaded(cls.shared, COUNTED)

    def counts(self, name, sections, ranks):
        """[{kind: (calls, bytes)}] of each rank of a run."""
        (self.folder / f"{name}.toml").write_text(toml_text(sections))
        done = execute(self.folder, command("run", f"{name}.toml", ranks=ranks), env=environment(
            LD_PRELOAD=self.counted, COUNTED=str(self.folder / name)))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [(self.folder / f"{name}.{rank}").read_text().splitlines() for rank in range(ranks)]
        return [{kind: (int(calls), int(size)) for kind, calls, size in map(str.split, own)} for own in lines]

    def more(self, name, sections, key, once, ranks):
        """What each rank gives in the second half of a run that is twice as long, by kind: what differs from 0."""
        short, long = side_by_side(lambda times: self.counts(
            f"{name}-{ranks}-{times}", changed(sections, {key: times * once}), ranks), (1, 2))
        differences = [{kind: tuple(after - before for after, before in zip(last[kind], first[kind])) for kind in last}
                       for first, last in zip(short, long)]
        self.assertTrue(all(one == differences[0] for one in differences), "ranks differ")
        return {kind: both for kind, both in differences[0].items() if any(both)}

    def test_right_hand_side(self):
        """One sum of all numbers, and one number to agree whether to stop: whatever the ranks."""
        for name, changes in SHAPES.items():
            for ranks in 2, 3:
                with self.subTest(name, ranks=ranks):
                    found = self.more(name, changed(FLOW, changes), "flow.end_time", STEPS * 0.1, ranks)
                    self.assertEqual(list(found), ["allreduce"], found)
                    calls, size = found["allreduce"]
                    heads = changes.get("attention.heads", 2)
                    self.assertEqual(calls % 2, 0)
                    self.assertLessEqual(abs(calls // 2 - STEPS), 1, "the last step may be cut in two")
                    self.assertEqual(size, calls // 2 * 8 * (words_of(heads, 2) + 1))

    def assert_steps(self, found, kind, each, calls):
        """`calls` of that kind in each step with `each` bytes in all; beside them those that agree whether to stop: the
        slower the steps are, the more, but at most one for each step of either run."""
        asked = {"allreduce": [0, 0], "bcast": [0, 0]} | {name: list(both) for name, both in found.items()}
        given = asked[kind]
        if kind == "allreduce":
            asked[kind] = [given[0] - calls * STEPS, given[1] - each * STEPS]
            given = [calls * STEPS, each * STEPS]
        self.assertEqual(given, [calls * STEPS, each * STEPS], found)
        for name in "allreduce", "bcast":
            number, size = asked.pop(name)
            self.assertTrue(abs(number) <= 2 * STEPS and size == 8 * number, found)

    def test_direct_sgd(self):
        """Loss, de/db and de/dv, and the gradient over R^D in integers."""
        for name, changes in SHAPES.items():
            with self.subTest(name):
                found = self.more(name, changed(SGD, changes | {"sgd.engine": "direct"}), "sgd.steps", STEPS, 2)
                heads = changes.get("attention.heads", 2)
                tiles = 2 * (512 + 32)  # for 1000 coordinates; 32 of each are left free
                self.assert_steps(found, "allreduce", 8 * (6 * (heads + 2) + 4) + 8 * heads * tiles, 2)

    def test_sgd_by_overlaps(self):
        """The size of what each rank has, and the largest node of its share: loss, de/db, de/dv, sums of g and g g'."""
        for name, changes in SHAPES.items():
            with self.subTest(name):
                found = self.more(name, changed(SGD, changes | {"sgd.engine": "overlaps"}), "sgd.steps", STEPS, 2)
                heads = changes.get("attention.heads", 2)
                node = 2 + heads + heads * (heads + 2) + heads * (heads + 1) // 2
                self.assertEqual(found.pop("allgather"), (STEPS, 8 * STEPS))
                self.assert_steps(found, "allgatherv", 8 * node, 1)

    def test_ranks_of_use(self):
        """As `check` tells: one block of samples feeds one rank; a replica of SGD each feed a rank at least."""
        worth = {}
        for name, changes in {"block": {"population.samples": 1024, "population.replicates": 1},
                              "many": {"population.samples": 2**24},
                              "replicas": {"sgd": SGD["sgd"] | {"replicas": 500, "engine": "direct"}}}.items():
            self.write_input(changed(SMALL, changes), name)
            text = self.succeed("check", f"{name}.toml")
            worth |= {(name, section): int(ranks) for ranks, section in re.findall(
                r"(?m)^# ranks that are of use +up to (\d+) for \[(\w+)\]", text)}
        self.assertEqual(worth["block", "flow"], 1)
        self.assertGreater(worth["many", "flow"], 8)
        self.assertGreaterEqual(worth["replicas", "sgd"], 400)
        self.assertIn(("replicas", "flow"), worth)


if __name__ == "__main__":
    main()
