"""How a job script ends, by what launcher, program and Slurm do: with stand-ins for them, which do nothing but that."""
import signal
import subprocess
import time
from typing import NamedTuple

from harness import HANGS, SystemTest, environment, main
from test_array import SCRIPT

# Waits for the file `go`, then says to the script what WORD is (nothing if empty; if full, an empty file is left) and
# ends with CODE.
LAUNCHER = """#!/bin/bash
[[ $1 != --version ]] || exit 0
trap : USR1
touch running
until [[ -e go ]]; do sleep 0.01; done
case $WORD in
  '') ;;
  full) : >"$HEADFLOW_EXIT" ;;
  *) echo "$WORD" >"$HEADFLOW_EXIT" ;;
esac
exit "$CODE"
"""
SCONTROL = """#!/bin/sh
case $1 in
  requeue) echo "$2" >>requeued ;;
  show) echo 'KillWait = 30 sec' ;;
esac
"""
LEFT = {"an hour": 3600, "a minute": 60, "nothing": -1}  # seconds until the time limit


class Case(NamedTuple):
    """The rank 0's word and the launcher's code, the signals before that, and what the script makes of it."""
    word: str
    launcher: int
    signals: str
    code: int
    said: str
    requeued: bool = False
    left: str = "an hour"
    restarts: int = 0
    script: str = "run.sh case.toml"


CASES = {
    "finished": Case("0", 0, "", 0, ""),
    "finished, on a full disk": Case("full", 0, "", 0, ""),
    "ahead of the time limit, on a full disk": Case("full", 75, "USR1", 75, "goes back into the queue", True),
    "finished, and the launcher crashes": Case("0", 139, "TERM", 0, ""),
    "ahead of the time limit": Case("75", 0, "USR1", 75, "goes back into the queue", True),
    "the launcher passes the code on": Case("started", 75, "USR1", 75, "goes back into the queue", True),
    "a stop file": Case("75", 0, "", 75, "goes back into the queue", True),
    "cancelled or preempted": Case("75", 0, "TERM", 75,
                                   "Unless squeue shows job 7 as pending or running, submit it again"),
    "cancelled ahead of the time limit": Case("75", 0, "USR1 TERM", 75, "Unless squeue shows job 7"),
    "the time limit itself": Case("75", 0, "USR1 TERM", 75, "goes back into the queue", True, left="nothing"),
    "a job shorter than the lead": Case("75", 0, "USR1", 75, "goes back into the queue", True, left="a minute"),
    "the same for the fourth time": Case("75", 0, "USR1", 75, "its time limit is too short", False, "a minute", 3),
    "often enough": Case("75", 0, "USR1", 75, "100 times already", False, restarts=100),
    "bad input, and a launcher that crashes": Case("2", 139, "TERM", 2, "ended with exit code 2; the reason"),
    "a full disk": Case("4", 4, "", 4, "ended with exit code 4; the reason"),
    "killed": Case("started", 137, "", 137, "ended with code 137: killed"),
    "killed after a signal": Case("started", 1, "USR1", 75, "without a message that the state is saved", True),
    "not started": Case("", 1, "", 1, "ended with code 1: the program was not started, see above"),
    "not started, and nobody says so": Case("", 0, "", 1, "the program was not started"),
    "no such protocol": Case("", 1, "", 1, "Choose another HEADFLOW_MPI (this was foo), or run.sh",
                             script="srun.sh case.toml"),
    "the first of many finished, ahead of the time limit": Case(
        "0", 0, "USR1", 75, "a signal came as the run before ended; job 7 goes back", True, script="paper.sh fig02"),
    "the first of many finished, and cancelled": Case(
        "0", 0, "TERM", 75, "a signal came as the run before ended; the same command", script="paper.sh fig02"),
}


class JobEnds(SystemTest):
    def start(self, case):
        programs = self.folder / "programs"
        programs.mkdir()
        for name, text in (("mpirun", LAUNCHER), ("srun", LAUNCHER), ("scontrol", SCONTROL), ("headflow", "#!/bin/sh"),
                           ("squeue", '#!/bin/sh\ndate -d "@$END" +%FT%T\n')):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        env = environment(HEADFLOW=str(programs / "headflow"), SLURM_JOB_ID="7", HEADFLOW_MPI="foo", WORD=case.word,
                          CODE=str(case.launcher), SLURM_RESTART_COUNT=str(case.restarts),
                          END=str(int(time.time()) + LEFT[case.left]))
        env["PATH"] = f"{programs}:{env['PATH']}"
        script, word = case.script.split()
        return subprocess.Popen(["bash", SCRIPT.with_name(script), word], cwd=self.folder, env=env,
                                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for(self, true, process):
        while not true():
            self.assertIsNone(process.poll(), "it has ended")
            time.sleep(0.01)

    def test_ends(self):
        for what, case in CASES.items():
            with self.subTest(what):
                self.setUp()
                process = self.start(case)
                self.wait_for((self.folder / "running").exists, process)
                for name in case.signals.split():
                    number = getattr(signal, f"SIG{name}")
                    process.send_signal(number)
                    # bash hears of each by itself: two that wait come in the order of their numbers.
                    self.wait_for(lambda number=number: self.heard(process, number), process)
                (self.folder / "go").touch()
                _, errors = process.communicate(timeout=HANGS)
                self.assertEqual(process.returncode, case.code, errors)
                self.assertIn(case.said, errors.strip().split("\n")[-1])
                self.assertEqual((self.folder / "requeued").exists(), case.requeued, errors)
                self.assertEqual(list(self.folder.glob("tmp.*")), [])
                self.doCleanups()

    @staticmethod
    def heard(process, number):
        """Whether no such signal waits for the script."""
        with open(f"/proc/{process.pid}/status") as status:
            masks = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:"))]
        return not any(mask >> (number - 1) & 1 for mask in masks)


if __name__ == "__main__":
    main()
