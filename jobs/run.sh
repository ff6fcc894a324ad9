#!/bin/bash
#SBATCH --job-name=headflow
#SBATCH --ntasks=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# One run, however many jobs it takes.
#   sbatch [Slurm's options] jobs/run.sh INPUT [options of headflow run]     from any folder: files are written there
#   HEADFLOW_RANKS=2 jobs/run.sh INPUT [options of headflow run]             by hand
# Shortly before its time limit the run saves its state and the job goes back into the queue, to go on from there.
# A job that was cancelled or has failed goes on likewise when it is submitted again with the same words. By hand
# exit code 75 says: stopped early, the same command goes on. A job is put back $HEADFLOW_REQUEUES times at most
# (default 100).
# The program is $HEADFLOW, else build/release/headflow, else the headflow in PATH.
set -euo pipefail
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

[[ $# -ge 1 ]] || refuse "usage: run.sh INPUT [options of headflow run]"
run_in_job "${mpi[@]}" "$headflow" run --max-walltime auto "$@"
