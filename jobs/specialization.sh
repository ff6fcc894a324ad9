#!/bin/bash
#SBATCH --job-name=headflow-specialization
#SBATCH --ntasks=8
#SBATCH --time=01:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# How the time at which heads split, or the spread of SGD over runs, depends on the dimension, and whether growth and times
# are those that the saddle predicts. Files and picture go to $HEADFLOW_OUT, else to a folder of the picture's name in the
# working folder. What is there already is not computed again.
#   jobs/specialization.sh                  input/specialization_time.toml: specialization_time.png
#   jobs/specialization.sh fluctuations     input/fluctuations.toml: fluctuations.png
#   jobs/specialization.sh stages           input/stages/{flipping,gaussian}.toml: stages.png and the table stages.md
#   sbatch jobs/specialization.sh [..]      with Slurm
# HEADFLOW_LARGEST is the largest D of SGD, 10^N (default 6; 5 takes a minute). The program is $HEADFLOW, else
# build/release/headflow, else the headflow in PATH.
set -euo pipefail
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

picture=${1:-specialization_time}
[[ $# -le 1 && $picture =~ ^(specialization_time|fluctuations|stages)$ ]] ||
    refuse "usage: specialization.sh [specialization_time|fluctuations|stages]"
largest=${HEADFLOW_LARGEST:-6}
[[ $largest =~ ^[2-9]$ ]] || refuse "HEADFLOW_LARGEST must be a number from 2 to 9, found '$largest'"
out=${HEADFLOW_OUT:-$picture}
mkdir -p "$out"

# compute NAME INPUT KEY=VALUE ...: the input with these keys, on all ranks or, where it takes a moment, on one; files are
# kept.
compute() {
    local name=$1 file=$out/$1.h5 input=$2 change changes=() launch=("${mpi[@]}")
    shift 2
    for change; do changes+=(--set "$change"); done
    [[ $name != *-flow-* ]] || launch=("${mpi[0]}" -n 1)
    run_in_job "${launch[@]}" "$headflow" run --max-walltime auto "$top/input/$input.toml" --output "$file" \
        "${changes[@]}" >>"$out/log"
    files+=("$file")
}

files=()
case $picture in
    specialization_time)
        for ((exponent = 2; exponent <= largest; ++exponent)); do
            # kappa = 1; 16 replicas at the largest D take most of the time
            compute "sgd-$exponent" "$picture" "start.dimension=1e$exponent" "sgd.dimension=1e$exponent" sgd.batch=1 \
                "sgd.learning_rate=1e-$exponent" "sgd.replicas=$((exponent < 6 ? 64 : 16))" sgd.starts=own \
                "sgd.end_time=$((60 + 25 * exponent))" "sgd.outputs=$((120 + 50 * exponent))" \
                flow.learning_rate_noise=from-sgd
        done
        for exponent in {2..12}; do
            for seed in {1..16}; do
                for kappa in 0 1; do
                    compute "kappa$kappa-flow-$exponent-$seed" "$picture" "start.dimension=1e$exponent" "start.seed=$seed" \
                        "flow.learning_rate_noise=$kappa.0"
                done
            done
        done
        "${headflow%/*}/headflow-plot" "${files[@]}" --panels specialization -o "$out/$picture.png" ;;
    fluctuations)
        for exponent in 2 3 4; do
            compute "sgd-$exponent" "$picture" "sgd.dimension=1e$exponent" "sgd.learning_rate=1e-$exponent"
        done
        "${headflow%/*}/headflow-plot" "${files[@]}" --panels spread -o "$out/$picture.png" ;;
    stages)
        compute flipping stages/flipping
        compute gaussian stages/gaussian
        "${headflow%/*}/headflow-plot" "${files[@]}" --panels stages -o "$out/$picture.png" | tee "$out/$picture.md" ;;
esac
