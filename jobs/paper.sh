#!/bin/bash
#SBATCH --job-name=headflow-paper
#SBATCH --ntasks=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# One figure of arXiv:2603.03993: run its variants and draw them into FIGURE.png, in the working folder or $HEADFLOW_OUT.
#   jobs/paper.sh FIGURE [options of headflow run]      by hand, on 2 ranks or $HEADFLOW_RANKS
#   sbatch jobs/paper.sh FIGURE [options]               with Slurm, from any folder
#   jobs/paper.sh list                                  which figures there are
#   jobs/paper.sh all [options]                         all of them, one after the other
# What to see in each is said at the top of input/paper/FIGURE.toml. Variants that are there already are not computed again
# (--force: they are). Otherwise as run.sh.
set -euo pipefail

list() {
    cat <<'END'
fig01   softmax, flipping spike, L = 10, H = 2: the flow and SGD at D = 10^4; loss, m, plane, r
fig02   softmax, flipping spike: heads in the plane, H = 1 .. 8
fig03   softmax, anisotropic and isotropic Gaussian, F = 2: heads in the plane, H = 2, 4, 8
fig04   H = 8, F = 3: softmax against Bayes-softmax
fig05   trained loss and Bayes risk against the number of heads and against the signal, three activations
fig06   attention of trained heads on four sequences, three activations
fig07   trained heads removed one by one: the loss, atoms and Gaussian features
fig08   the same samples at every step against fresh ones
fig09   as figure 1 with softmax-1 and Bayes-softmax, L = 4
fig10   as figure 1 for the anisotropic Gaussian, three activations, L = 4
fig11   cosine similarity of two trained heads against (nu_1, nu_2), flipping spike
fig12   trained heads in the plane for several (nu_1, nu_2), flipping spike: softmax
fig13   the same for softmax-1
fig14   the same for Bayes-softmax
fig15   softmax, flipping spike: m against t, H = 2, 4, 8
fig16   softmax, H = 4, F = 2: four starts
fig17   softmax, H = 8, F = 3: four starts
fig18   softmax-1, H = 4, F = 2: four starts
fig19   softmax-1, H = 8, F = 3: four starts
fig20   Bayes-softmax, H = 8, F = 3 and, in fig20-H4.png, H = 4, F = 2: four starts each
END
}

if [[ ${1:-} == list ]]; then
    list
    exit
fi
script=$0
if [[ $0 == */slurm_script ]]; then # the copy that Slurm runs: where was this one?
    script=$(scontrol show job "$SLURM_JOB_ID" | sed -n "s/^ *Command=//p" | tail -n 1)
    script=${script%" $*"}
fi
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "$(readlink -f "$script")")/common.sh"

mapfile -t known < <(list | cut -d ' ' -f 1)
figures=()
for figure in "${known[@]}"; do
    if [[ $figure == "${1:-}" || ${1:-} == all ]]; then figures+=("$figure"); fi
done
((${#figures[@]})) || refuse "usage: paper.sh FIGURE [options of headflow run]; found '${1:-}', there are all and
$(list)"
options=("${@:2}")
out=${HEADFLOW_OUT:-.}
mkdir -p "$out"
files=()

# variant NAME [KEY=VALUE ...]: run the figure's input with these keys changed, into FIGURE-NAME.h5 (no NAME: FIGURE.h5).
variant() {
    local file=$out/$figure${1:+-$1}.h5 change changes=()
    shift
    for change; do changes+=(--set "$change"); done
    printf '%s\n' "$file${*:+: $*}"
    run_in_job "${mpi[@]}" "$headflow" run --max-walltime auto "$input" --output "$file" "${changes[@]}" "${options[@]}"
    files+=("$file")
}

# draw PICTURE [OPTION ...]: draw the variants since the last picture.
draw() {
    "$(dirname "$headflow")/headflow-plot" "${files[@]}" -o "$out/$1.png" "${@:2}"
    files=()
}

# make FIGURE: its variants, its pictures.
make() {
    figure=$1
    local inputs=("$top/input/paper/$figure"*.toml)
    input=${inputs[0]}
    [[ -f $input ]] || refuse "no input $input"
    case $figure in
        fig01)
            variant ''
            draw fig01 --panels overview ;;
        fig02)
            for heads in 1 2 3 4 6 8; do variant "H$heads" "attention.heads=$heads"; done
            draw fig02 --panels plane --title 'Flipping spike: heads align with direction 1, then split along direction 2' ;;
        fig03)
            for heads in 2 4 8; do variant "H$heads" "attention.heads=$heads"; done
            variant H8-excursion attention.heads=8 start.seed=3
            for heads in 4 8; do variant "equal-H$heads" "attention.heads=$heads" 'model.signal=[10]'; done
            draw fig03 --panels plane --title 'Gaussian, signals (10, 3): H = 2, 4, 8, 8; last two panels: equal signals' ;;
        fig04)
            variant softmax
            variant bayes-softmax attention.activation=bayes-softmax flow.end_time=4000
            draw fig04 --panels m,space --log-time ;;
        fig05)
            gaussian=model.prior=anisotropic-gaussian
            for way in flow search; do
                with=(train.gradient_tolerance=1e-4 train.evaluations=300 population.samples=32768)
                [[ $way = flow ]] && with=(flow.end_time=1000 flow.outputs=1 sweep.repeats=5)
                input=$top/input/paper/fig05-left.toml
                variant "$way-left-atoms" "${with[@]}"
                variant "$way-left-gaussian" "${with[@]}" "$gaussian"
                input=$top/input/paper/fig05-right.toml
                variant "$way-right-atoms" "${with[@]}"
                variant "$way-right-gaussian" "${with[@]}" "$gaussian" \
                    'sweep."model.signal[1]"={from = 0.5, to = 2500.0, count = 12, spacing = "log"}'
                variant "$way-right-flipping" "${with[@]}" model.prior=flipping-spike 'model.signal=[1.0, 1.0]' \
                    'sweep."model.signal[2]"={from = 0.5, to = 20.0, count = 9, spacing = "log"}' \
                    'sweep.zip=[["model.signal[1]", "model.signal[2]"]]'
                if [[ $way = flow ]]; then
                    draw fig05 --panels trained --title 'At the end of the flow from small noise (5 starts)'
                else
                    draw fig05-minima --panels trained --title 'Least minima that a search finds (5 starts)'
                fi
            done ;;
        fig06)
            for activation in softmax softmax-1 bayes-softmax; do
                variant "$activation" "attention.activation=$activation"
            done
            draw fig06 --panels maps ;;
        fig07)
            variant atoms
            variant gaussian model.prior=anisotropic-gaussian
            draw fig07 --panels prune ;;
        fig08)
            for sampling in monte-carlo sobol; do
                variant "$sampling-same" "population.sampling=$sampling"
                variant "$sampling-fresh" "population.sampling=$sampling" population.resample=1
            done
            draw fig08 --panels m,loss --title 'Rows: Monte Carlo, the same samples and fresh ones; Sobol, the same and fresh' ;;
        fig09)
            variant softmax-1
            variant bayes-softmax attention.activation=bayes-softmax flow.end_time=60
            draw "$figure" --panels loss,m,plane ;;
        fig10)
            for activation in softmax softmax-1 bayes-softmax; do
                variant "$activation" "attention.activation=$activation"
            done
            draw "$figure" --panels loss,m,plane ;;
        fig11)
            variant ''
            draw fig11 --panels cosine-map ;;
        fig12 | fig13 | fig14)
            variant ''
            draw "$figure" --panels heads-map ;;
        fig15)
            for heads in 2 4 8; do variant "H$heads" "attention.heads=$heads"; done
            draw fig15 --panels m --log-time ;;
        fig16)
            for seed in 1 2 3 4; do variant "seed$seed" "start.seed=$seed"; done
            draw fig16 --panels m,plane --log-time ;;
        fig17)
            for seed in 1 2 3 4; do variant "seed$seed" "start.seed=$seed"; done
            draw fig17 --panels m,space --log-time ;;
        fig18)
            for seed in 1 2 3 5; do variant "seed$seed" "start.seed=$seed"; done
            draw fig18 --panels m,plane,b --log-time ;;
        fig19)
            for seed in 1 2 3 5; do variant "seed$seed" "start.seed=$seed"; done
            draw fig19 --panels m,space,b --log-time ;;
        fig20)
            for seed in 2 4 5 7; do variant "seed$seed" "start.seed=$seed"; done
            draw fig20 --panels m,space --log-time
            for seed in 1 2 3 4; do variant "H4-seed$seed" "start.seed=$seed" model.features=2 attention.heads=4; done
            draw fig20-H4 --panels m,plane --log-time ;;
    esac
}

for figure in "${figures[@]}"; do make "$figure"; done
