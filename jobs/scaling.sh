#!/bin/bash
#SBATCH --job-name=headflow-scaling
#SBATCH --ntasks=8
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# How the flow and SGD speed up from 1 rank to --ntasks (by hand $HEADFLOW_RANKS, default 2):
#   sbatch jobs/scaling.sh     or     HEADFLOW_RANKS=4 jobs/scaling.sh
# Strong: the same work on 1, 2, 4, .. ranks. Weak: as much work for each rank. Prints a table; writes scaling.csv and
# scaling.png in the working folder. What is in scaling.csv already is not measured again: remove it to begin anew.
#   SAMPLES  of the flow: of strong scaling, and for each rank of weak scaling     4194304
#   BATCH    of SGD, likewise                                                      64
#   DIMENSION, STEPS, REPEATS (the fastest counts)                                 100000, 100, 3
set -euo pipefail
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

samples=${SAMPLES:-4194304} batch=${BATCH:-64} dimension=${DIMENSION:-100000} steps=${STEPS:-100} repeats=${REPEATS:-3}
table=scaling.csv
folder=$(mktemp -d "$PWD/scaling.XXXXXX") # where all nodes see it
trap 'rm -rf "$folder"' EXIT

cat >"$folder/flow.toml" <<END
[model]
tokens = 4
prior = "flipping-spike"
signal = [2.0, 2.0]
[attention]
heads = 2
[population]
sampling = "monte-carlo"
[flow]
method = "euler"
step = 0.1
end_time = $((steps / 10)).$((steps % 10))
outputs = 1
END
sed '/^\[population\]/,$d' "$folder/flow.toml" >"$folder/sgd.toml"
cat >>"$folder/sgd.toml" <<END
[population]
samples = 1024
[sgd]
engine = "direct"
dimension = $dimension
learning_rate = 1e-6
steps = $steps
outputs = 1
END

# measure KIND RANKS SIZE: the seconds of one evaluation of the flow's right-hand side, or of one step of SGD.
measure() {
    local kind=$1 n=$2 size=$3 key=population.samples seconds best=
    if grep -q "^$kind,$n,$size," "$table"; then return; fi
    if [[ $kind == sgd-* ]]; then key=sgd.batch; fi
    for ((i = 0; i < repeats; i++)); do
        run_in_job mpirun -n "$n" "$headflow" run "$folder/${kind%-*}.toml" --force --set "$key=$size" \
            --output "$folder/out.h5" >"$folder/log"
        # "flow: .., 21 right-hand sides, 0.52 s"; "1280 sequences of 0.61 us, 0.52 s with outputs"
        seconds=$(awk -v size="$size" '
            /^flow: .* right-hand sides, / { print $(NF - 1) / $(NF - 4) }
            / sequences of .* us, / { sub(/.* sequences of /, ""); print 1e-6 * size * $1 }' "$folder/log")
        [[ $seconds =~ [1-9] ]] || refuse "$kind on $n ranks is too fast to be measured: more SAMPLES, BATCH or STEPS"
        best=$(printf '%s\n' ${best:+"$best"} "$seconds" | sort -g | head -n 1)
    done
    echo "$kind,$n,$size,$best" >>"$table"
}

[[ -f $table ]] || echo kind,ranks,size,seconds >"$table"
for ((n = 1; ; n = 2 * n < ranks ? 2 * n : ranks)); do
    measure flow-strong "$n" "$samples"
    measure flow-weak "$n" $((samples * n))
    measure sgd-strong "$n" "$batch"
    measure sgd-weak "$n" $((batch * n))
    ((n < ranks)) || break
done
"$(dirname "$(readlink -f "$script")")/scaling.py" "$table" scaling.png
