#!/bin/bash
#SBATCH --job-name=headflow
#SBATCH --array=1-4
#SBATCH --ntasks=2
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log

# Many runs, each in a job of its own that goes back into the queue by itself when its time is over.
#   sbatch --array=1-20%5 jobs/array.sh INPUT.toml [options]   one input, start.seed = 1 .. 20, five at a time, into
#                                                              INPUT-seed1.h5, INPUT-seed2.h5, ..
#   sbatch --array=1-8 jobs/array.sh INPUT.toml [options]      where the input has a section [sweep]: its members in 8 parts,
#                                                              INPUT-part1.h5, ..; then headflow merge INPUT.h5 INPUT-part*.h5
#   sbatch --array=1-3 jobs/array.sh LIST.txt [options]        lines 1 to 3 of a list; a line is INPUT [options]
#   HEADFLOW_TASKS='1 2 3' jobs/array.sh INPUT.toml|LIST.txt   by hand, one after the other; 1 2 3 4 if not told
# Otherwise as run.sh.
set -euo pipefail
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

[[ $# -ge 1 && -f $1 ]] || refuse "usage: array.sh INPUT.toml|LIST [options of headflow run]"
file=$1
shift
read -ra tasks <<<"${SLURM_ARRAY_TASK_ID:-${HEADFLOW_TASKS:-1 2 3 4}}"
for task in "${tasks[@]}"; do
    if [[ $file == *.toml ]] && grep -q '^ *\[sweep\]' "$file"; then
        parts=${SLURM_ARRAY_TASK_COUNT:-${#tasks[@]}}
        words=("$file" --part "$task/$parts" --output "$(basename "$file" .toml)-part$task.h5")
    elif [[ $file == *.toml ]]; then
        words=("$file" --set "start.seed=$task" --output "$(basename "$file" .toml)-seed$task.h5")
    else
        read -ra words < <(sed -n "${task}p" "$file") || true
        ((${#words[@]})) || refuse "$file has no line $task"
    fi
    run_in_job "${mpi[@]}" "$headflow" run --max-walltime auto "${words[@]}" "$@"
done
