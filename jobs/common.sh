# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by the job scripts: what they share. Gives them `ranks`, `top`, `headflow`, `mpi` and `run_in_job`.

# The machine: its modules and settings, in this one place. For example
# module load openmpi petsc hdf5
# export OMPI_MCA_btl_tcp_if_include=10.0.0.0/8    the network between the nodes, where Open MPI takes a wrong one
# export HDF5_USE_FILE_LOCKING=FALSE               a file system without locks

script_name=$(basename "$script")
tell() { printf '%s: %s\n' "$script_name" "$1" >&2; }
refuse() {
    tell "$1"
    exit 2
}

# After `sbatch --export=NONE` Slurm would give an empty environment to what is started in the job, also to the daemons of
# mpirun, and PATH is not part of it. Newer ones leave the job without HOME, too, which Open MPI 5 needs.
HOME=${HOME:-~}
export SLURM_EXPORT_ENV=ALL PATH HOME

# Open MPI as root, which is who one is in a container.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# In a job: its name for squeue and scontrol (of a task of an array: of this one, not of all), and, as not every Slurm
# tells it, the time at which it will be ended, for --max-walltime auto.
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
job=${job:-${SLURM_JOB_ID:-}}
if [[ -n $job ]] && end=$(squeue -h -j "$job" -o %e) && [[ $end == [0-9]* ]] && # not N/A, and not empty: today for date
    end=$(date -d "$end" +%s 2>/dev/null); then
    export SLURM_JOB_END_TIME=$end
fi

# Each job has a session folder of its own on each node. Open MPI 4 has one for each user, and of many jobs that start and
# end at the same time some fail.
export OMPI_MCA_orte_top_session_dir=${TMPDIR:-/tmp}/headflow-$UID-${job:-$$}
# Slurm's TERM comes to mpirun and its daemons, too. They then give their ranks 1 s to save the state. Slurm itself waits
# KillWait seconds for all, and mpirun may spend this time twice. (Open MPI 5 has no such setting.)
kill_wait=$([[ -n $job ]] && scontrol show config 2>/dev/null | sed -n 's/^KillWait *= *\([0-9]*\) .*/\1/p') || true
kill_wait=${kill_wait:-30}
export OMPI_MCA_odls_base_sigkill_timeout=$((kill_wait < 30 ? kill_wait * 2 / 5 : 12))

# How many ranks, and what starts them: mpirun, or `use_srun` for Slurm's own.
ranks=${SLURM_NTASKS:-${HEADFLOW_RANKS:-2}}
[[ $ranks =~ ^[1-9][0-9]*$ ]] || refuse "HEADFLOW_RANKS must be a whole number from 1, found '$ranks'"
mpi=(mpirun -n "$ranks")
use_srun() {
    [[ -n $job ]] || return 0
    mpi=(srun --mpi="${HEADFLOW_MPI:-pmix}" --ntasks="$ranks")
    # A node that has lost its power keeps the sockets of its steps. When the job comes back to it, its step has to have
    # another number.
    for ((i = 0; i < ${SLURM_RESTART_COUNT:-0}; i++)); do srun --mpi=none --ntasks=1 --nodes=1 true || true; done
}

top=$(dirname "$(readlink -f "$script")")/..
headflow=$(command -v "${HEADFLOW:-$top/build/release/headflow}" || command -v "${HEADFLOW:-headflow}") ||
    refuse "no program ${HEADFLOW:-headflow}: build it, or name it in \$HEADFLOW"

# USR1, from Slurm ahead of the time limit: save, stop, and have the job put back into the queue. TERM, from scancel or
# a preemption, Ctrl-C and the end of the terminal (but under nohup): save and stop, for good unless Slurm itself puts the
# job back. At the time limit TERM comes, too. mpirun passes only USR1 on to the ranks without killing them.
launched=
child=
signalled=
told=
requeue=yes
stop() {
    signalled=yes
    [[ -n $launched ]] || stop_early "a signal came before anything ran"
    [[ -z $child ]] || kill -USR1 "$child" 2>/dev/null || true
}
time_is_up() { [[ -n ${SLURM_JOB_END_TIME:-} ]] && ((EPOCHSECONDS + $1 >= SLURM_JOB_END_TIME)); }
at_once= # USR1 came as the job began, because its whole time is not longer than the lead of that signal
trap 'told=USR1; ((SECONDS > 35)) || ! time_is_up 200 || at_once=yes; stop' USR1 # first `told`: TERM may come in between
trap '[[ $told == USR1 ]] && time_is_up 5 || requeue=no; stop' TERM INT HUP

# stop_early WHAT: ends this script, to be run again. Its last words say what happened.
stop_early() {
    trap '' USR1 TERM INT HUP # as a job is put back, Slurm sends TERM
    if [[ -z $job || $requeue == no ]]; then
        tell "$1; the same command goes on from there${job:+. Unless squeue shows job $job as pending or running, submit it again}"
    elif [[ -n $at_once ]] && ((${SLURM_RESTART_COUNT:-0} >= 3)); then
        tell "$1; once more Slurm's signal came as the job began: its time limit is too short. Submit it again with a longer one, or with a later signal (--signal=B:USR1@30)"
    elif ((${SLURM_RESTART_COUNT:-0} >= ${HEADFLOW_REQUEUES:-100})); then
        tell "$1; put back into the queue $SLURM_RESTART_COUNT times already (HEADFLOW_REQUEUES): no more. Submit it again to go on"
    elif scontrol requeue "$job"; then
        tell "$1; job $job goes back into the queue, to go on from there"
    else
        tell "$1; Slurm does not take job $job back into the queue: submit it again to go on"
    fi
    exit 75
}

# launch PROGRAM [WORD ...]: sets `code`, its exit code, and `word`: what headflow's rank 0 says in the file HEADFLOW_EXIT.
# It says its exit code there, and gives 0 to the launcher, which would complain of any other, wait, and perhaps crash
# when it is told to stop meanwhile.
launch() {
    HEADFLOW_EXIT=$(mktemp) && echo launched >"$HEADFLOW_EXIT" || HEADFLOW_EXIT= # on a full disk it goes without
    export HEADFLOW_EXIT
    set -m # a process group of its own: Ctrl-C comes to this script only
    launched=yes
    signalled=
    "$@" </dev/null &
    child=$!
    [[ -z $signalled ]] || stop # it was not known yet whom to tell
    set +m
    while :; do
        signalled=
        code=0
        wait "$child" || code=$?
        [[ -n $signalled ]] || break # else the signal may have ended `wait`, but not the program
        told=${told:-yes}
    done
    launched=
    child=
    word=
    [[ -z $HEADFLOW_EXIT ]] || { word=$(<"$HEADFLOW_EXIT") && rm -f "$HEADFLOW_EXIT"; } || true
    case $word in
        launched) if ((code == 0)); then code=1; fi ;; # srun may give 0 for what it could not start
        started | '') ;; # '': it could not be written
        *) code=$word ;;
    esac
}

# run_in_job PROGRAM [WORD ...]: run it, with the signals passed on. Returns its exit code, but for 75, stopped early
# with the state saved: then the job is put back into the queue and this script ends. It will go on from there, as
# `headflow run` always does. By hand, give the same command again.
run_in_job() {
    local code word
    [[ -z $told ]] || stop_early "a signal came as the run before ended"
    if [[ -n $job && $1 == mpirun && -z ${launcher_known:-} ]]; then
        launcher_known=yes
        if [[ $(mpirun --version 2>/dev/null) =~ 'Open MPI) '([0-9]+) ]] && ((BASH_REMATCH[1] >= 5)); then
            tell "mpirun of Open MPI ${BASH_REMATCH[1]} ends its ranks 0.5 s after scancel or a preemption, too soon to save their state; srun.sh has no such limit"
        fi
    fi
    if [[ -n $job && -z ${begun:-} ]]; then
        begun=yes # said of the first of many programs
        tell "job $job begins on $ranks rank$( ((ranks == 1)) || echo s) of ${SLURM_JOB_NODELIST:-its nodes}, $(date +'%F %T')"
    fi
    launch "$@"
    case $code in
        0) ;;
        75) stop_early "stopped early, state saved (exit code 75)" ;;
        2 | 3 | 4) tell "ended with exit code $code; the reason is given above" ;; # headflow's own
        *)
            if [[ -n $told && $word == launched ]]; then
                stop_early "a signal came before anything ran"
            elif [[ -n $told ]]; then
                stop_early "stopped by a signal with code $code, without a message that the state is saved: perhaps there is only an older checkpoint"
            elif [[ $word == launched ]]; then
                tell "ended with code $code: the program was not started, see above$([[ $1 != srun ]] || echo ". Choose another HEADFLOW_MPI (this was ${HEADFLOW_MPI:-pmix}), or run.sh")"
            else
                tell "ended with code $code: killed, see above. The same command goes on from its last checkpoint"
            fi
            ;;
    esac
    return "$code"
}
