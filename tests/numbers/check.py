"""Every number that the pages of results state, against the output files.

    check.py FOLDER           a table, with exit code 1 where a number is not what the files say
    check.py --make FOLDER    the same after computing all files anew, on 2 ranks or $HEADFLOW_RANKS

The files are those of jobs/paper.sh and MORE. All takes an hour and a half on 2 cores.
"""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import claims  # noqa: F401
import fluctuations  # noqa: F401
import gallery  # noqa: F401
import others  # noqa: F401
import stages  # noqa: F401
from statements import PAGES, TOP, Files, judged

sys.path.insert(0, str(TOP / "tests/system"))
from harness import PROGRAM, command, environment  # noqa: E402

# Runs of which pages state numbers alone: the input, and the keys that are changed.
FIGURE = "sgd.end_time=1 sgd.replicas=1 "
MORE = {
    "fig01-weak": ("paper/fig01", FIGURE + "model.signal=[3,1] flow.end_time=200"),
    "fig01-large": ("paper/fig01-bands", "sgd.dimension=1e4 sgd.batch=64 sgd.learning_rate=6.4e-4 sgd.replicas=16"),
    "fig09-few": ("paper/fig09-bands", FIGURE + "population.samples=16384 fluctuations.end_time=110"),
    "fig11-short": ("paper/fig11", 'model.tokens=4 sweep."model.signal[1]"=[2.5] '
                    'sweep."model.signal[2]"=[1,2.5,5.5,10]'),
    "fig01-plain": ("paper/fig01", FIGURE + "fluctuations.output_times=[48] fluctuations.end_time=48 "
                    "population.symmetric=false"),
    "fig01-symmetric": ("paper/fig01", FIGURE + "fluctuations.output_times=[48] fluctuations.end_time=48"),
    "restoring": ("stages/restoring", ""),
    "decay-none": ("training/decay-and-noise", FIGURE + "attention.weight_decay=0 flow.end_time=60"),
    "decay-more": ("training/decay-and-noise", FIGURE + "attention.weight_decay=0.1 flow.end_time=60"),
}


def make(folder):
    """Computes all files in the folder anew: files of before may be those of another program."""
    ranks = os.environ.get("HEADFLOW_RANKS", "2")
    env = environment(HEADFLOW=str(PROGRAM), HEADFLOW_OUT=str(folder), HEADFLOW_RANKS=ranks)
    subprocess.run([TOP / "jobs/paper.sh", "all"], env=env, check=True)
    for name, (case, changes) in MORE.items():
        subprocess.run(command("run", TOP / f"input/{case}.toml", "--output", folder / f"{name}.h5",
                               *(word for change in changes.split() for word in ("--set", change)), ranks=ranks),
                       env=env, check=True)


def main(words):
    if len(words) not in (1, 2) or words[:-1] not in ([], ["--make"]):
        sys.exit(__doc__)
    folder = Path(words[-1]).absolute()
    if words[0] == "--make":
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
    files = Files(folder)
    rows = [row for page in PAGES for statement in page.statements for row in judged(statement, files)]
    print("page | statement | printed | computed | ok")
    for row in rows:
        print(f"{row.page} | {row.piece[:70]} | {row.printed} | {row.computed} | {'yes' if row.good else 'NO'}")
    wrong = sum(not row.good for row in rows)
    print(f"{len(rows)} numbers, {wrong} of them wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
