#!/bin/bash
#SBATCH --job-name=headflow
#SBATCH --ntasks=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# As run.sh, with Slurm's srun in place of mpirun:
#   sbatch [Slurm's options] jobs/srun.sh INPUT [options of headflow run]
# srun and the MPI library must speak the same protocol, $HEADFLOW_MPI (default pmix; srun --mpi=list names them): else there
# are many runs of one rank each, which headflow refuses. Without Slurm this is run.sh.
set -euo pipefail
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

[[ $# -ge 1 ]] || refuse "usage: srun.sh INPUT [options of headflow run]"
use_srun
run_in_job "${mpi[@]}" "$headflow" run --max-walltime auto "$@"
