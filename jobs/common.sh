# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the job scripts: what they share. Gives them `ranks`, `headflow`, `mpi` and `run_in_job`.

# The machine: its modules and settings, in this one place.
# module load openmpi petsc hdf5
# export OMPI_MCA_btl=self,vader

refuse() {
    printf '%s: %s\n' "$(basename "$script")" "$1" >&2
    exit 2
}

# How many ranks, and what starts them: mpirun, or `use_srun` for Slurm's own.
ranks=${SLURM_NTASKS:-${HEADFLOW_RANKS:-2}}
mpi=(mpirun -n "$ranks")
use_srun() {
    if [[ -n ${SLURM_JOB_ID:-} ]]; then mpi=(srun --mpi="${HEADFLOW_MPI:-pmix}" --ntasks="$ranks"); fi
}

top=$(dirname "$(readlink -f "$script")")/..
headflow=$(command -v "${HEADFLOW:-$top/build/release/headflow}" || command -v "${HEADFLOW:-headflow}") ||
    refuse "no program ${HEADFLOW:-headflow}: build it, or name it in \$HEADFLOW"

# In a job: its name for squeue and scontrol (of a task of an array: of this one, not of all), and, as not every Slurm
# tells it, the time at which it will be ended, for --max-walltime auto.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-${SLURM_JOB_ID:-}}
if [[ -n $job ]] && end=$(squeue -h -j "$job" -o %e) && [[ $end == [0-9]* ]] && # not N/A, and not empty: today for date
    end=$(date -d "$end" +%s 2>/dev/null); then
    export SLURM_JOB_END_TIME=$end
fi

# USR1, from Slurm ahead of the time limit: save, stop, and have the job put back into the queue. TERM, from scancel or
# a preemption, Ctrl-C and the end of the terminal (but under nohup): save and stop. mpirun passes only USR1 on to the
# ranks without killing them.
child=
signalled=
requeue=yes
stop() {
    signalled=yes
    [[ -n $child ]] || stop_early
    kill -USR1 "$child" 2>/dev/null || true
}
trap stop USR1
trap 'requeue=no; stop' TERM INT HUP

# Ends this script, to be run again.
stop_early() {
    if [[ -n $job && $requeue == yes ]]; then
        if ((${SLURM_RESTART_COUNT:-0} >= ${HEADFLOW_REQUEUES:-100})); then
            echo "put back into the queue $SLURM_RESTART_COUNT times already (HEADFLOW_REQUEUES): no more" >&2
        else
            scontrol requeue "$job"
        fi
    fi
    exit 75
}

# run_in_job PROGRAM [WORD ...]: run it, with the signals passed on. Returns its exit code, but for 75, stopped early
# with the state saved: then the job is put back into the queue and this script ends. It will go on from there, as
# `headflow run` always does. By hand, give the same command again.
run_in_job() {
    local code
    set -m # a process group of its own: Ctrl-C comes to this script only
    "$@" </dev/null &
    child=$!
    set +m
    while :; do
        signalled=
        code=0
        wait "$child" || code=$?
        [[ -n $signalled ]] || break # else the signal may have ended `wait`, but not the program
    done
    child=
    ((code != 75)) || stop_early
    return "$code"
}
