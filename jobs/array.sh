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
#   sbatch --array=1-3 jobs/array.sh LIST.txt [options]        lines 1 to 3 of a list; a line is INPUT [options], with
#                                                              quotes where a word has spaces
#   HEADFLOW_TASKS='1 2 3' jobs/array.sh INPUT.toml|LIST.txt   by hand, one after the other; default 1 2 3 4
# How many parts a sweep has is said by $HEADFLOW_PARTS, else by the files of parts that are there, else by an array
# over all of them, from 1: so tasks 2 and 3 alone can be run again.
# Otherwise as run.sh.
set -euo pipefail
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

[[ $# -ge 1 ]] || refuse "usage: array.sh INPUT.toml|LIST [options of headflow run]"
[[ -f $1 ]] || refuse "there is no file $1; usage: array.sh INPUT.toml|LIST [options of headflow run]"
file=$1
shift
name=$(basename "$file" .toml)
for word; do
    [[ $file != *.toml || $word != --output* ]] || refuse "it names the outputs of $file itself: leave $word out"
done
read -ra tasks <<<"${SLURM_ARRAY_TASK_ID:-${HEADFLOW_TASKS:-1 2 3 4}}"
for task in "${tasks[@]}"; do
    [[ $task =~ ^(0|[1-9][0-9]*)$ ]] || refuse "a task must be a whole number, found '$task'"
done

# The tasks of all, as "1 2 .. N" if they are that.
all_tasks() {
    if [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
        printf '%s\n' "${tasks[@]}" | sort -nu
    else
        seq "${SLURM_ARRAY_TASK_MIN:-$SLURM_ARRAY_TASK_ID}" "${SLURM_ARRAY_TASK_STEP:-1}" \
            "${SLURM_ARRAY_TASK_MAX:-$SLURM_ARRAY_TASK_ID}"
    fi
}

# ask WORD ...: what headflow answers, without computing anything.
ask() {
    local code word
    launch "${mpi[0]}" -n 1 "$headflow" "$@"
    return "$code"
}

# How many parts the sweep has.
count_parts() {
    local part count
    count=${HEADFLOW_PARTS:-}
    for part in "$name"-part*.h5; do
        [[ -z $count && -f $part ]] || continue
        count=$(ask info "$part" | sed -n 's|^part: [0-9]*/\([0-9]*\)$|\1|p' | head -n 1)
    done
    if [[ -z $count ]]; then
        count=$(all_tasks | wc -l)
        [[ ${SLURM_ARRAY_TASK_COUNT:-$count} == "$count" && $(all_tasks) == $(seq "$count") ]] ||
            refuse "how many parts has the sweep? Run tasks 1 to N, or say HEADFLOW_PARTS=N"
    fi
    [[ $count =~ ^[1-9][0-9]*$ ]] || refuse "HEADFLOW_PARTS must be a whole number from 1, found '$count'"
    printf '%s\n' "$count"
}

members=1
if [[ $file == *.toml ]]; then members=$(ask check --members "$file" "$@"); fi
if ((members > 1)); then parts=$(count_parts); fi
for task in "${tasks[@]}"; do
    if ((members > 1)); then
        ((task >= 1 && task <= parts)) || refuse "there is no part $task: the sweep's parts are 1 to $parts"
        words=("$file" --part "$task/$parts" --output "$name-part$task.h5")
    elif [[ $file == *.toml ]]; then
        words=("$file" --set "start.seed=$task" --output "$name-seed$task.h5")
    else
        words=()
        while IFS= read -r -d '' word; do words+=("$word"); done < <(
            ((task == 0)) || sed -n "${task}{s/\r\$//;p;}" "$file" | xargs -r printf '%s\0')
        ((${#words[@]})) || refuse "$file has no line $task"
    fi
    run_in_job "${mpi[@]}" "$headflow" run --max-walltime auto "${words[@]}" "$@"
done
