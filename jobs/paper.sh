#!/bin/bash
#SBATCH --job-name=headflow-paper
#SBATCH --ntasks=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log

# One figure of arXiv:2603.03993, or another picture of the pages: run its variants and draw them into FIGURE.png, in the
# working folder or $HEADFLOW_OUT. Options change all of its runs, as --set 'model.signal=[3, 1]'.
#   jobs/paper.sh FIGURE [options of headflow run]      by hand, on 2 ranks or $HEADFLOW_RANKS
#   sbatch jobs/paper.sh FIGURE [options]               with Slurm, from any folder
#   jobs/paper.sh list                                  which there are
#   jobs/paper.sh all [options]                         all of them, one after the other
#   jobs/paper.sh claims [options]                      all pictures of claims
# The input, input/*/FIGURE.toml, says what to see. Variants that are there already are not computed again (--force: they
# are). HEADFLOW_LARGEST is the largest D of SGD in specialization_time, 10^N (default 6; 5 takes a minute). Otherwise as
# run.sh.
set -euo pipefail

list() {
    cat <<'END'
fig01   softmax, flipping spike, L = 10, H = 2: the flow and SGD at D = 10^4; loss, m, plane, r; and at D = 10^3 with bands
fig02   softmax, flipping spike: heads in the plane, H = 1 .. 8
fig03   softmax, anisotropic and isotropic Gaussian, F = 2: heads in the plane, H = 2, 4, 8
fig04   H = 8, F = 3: softmax against Bayes-softmax
fig05   trained loss and Bayes risk against the number of heads and against the signal, three activations
fig06   attention of trained heads on four sequences, three activations
fig07   trained heads removed one by one: the loss, atoms and Gaussian features
fig08   the same samples at every step against fresh ones
fig09   as figure 1 with softmax-1 and Bayes-softmax, L = 4; and with bands
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
pca             heads learn the eigenvectors of a Gamma that is not diagonal, in order
first-phase     biases and scale of softmax-1 through the first phase, and Lemma A.4
eta             when heads align and split against their norm at the start
batches         batches of 1, 16 and 256 at equal kappa
biases          learnt biases of Bayes-softmax against -|theta|^2/2 + log P(theta)
large-signals   softmax-1 at large signals: loss, heads, biases and scale
pruning         loss and its variance over runs, against the heads removed
samples         sequences that the two phases take, against D up to 10^8
growth          spread of the heads and its predicted growth, three activations
plateaus        growth rates at later plateaus, and on which pattern of heads
hierarchy       sides that eight heads take along three features, from two starts
bands           SGD within one and two predicted standard deviations
splits          times at which runs of SGD split, and their law
sparse          four laws of the features
clusters        a mixture of an atom and a Gaussian
decay-and-noise weight decay against the noise of SGD
weight-decay    trained loss against weight decay, three activations
trained-parts   trained loss with some parameters alone
schedule        a warm-up and half a cosine
learning_rate_noise  the flow with learning-rate noise, and SGD
fluctuations    spread of m over runs of SGD, D = 10^2, 10^3 and 10^4
specialization_time  when heads split, against D up to 10^12, of SGD up to 10^6
stages          growth rates and split times, observed and predicted by the saddle, against D up to 10^12; and the table stages.md
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

# The inputs of a picture.
input_of() {
    compgen -G "$top/input/*/$1.toml" || compgen -G "$top/input/$1.toml" || compgen -G "$top/input/paper/$1*.toml" ||
        compgen -G "$top/input/$1/*.toml"
}

mapfile -t known < <(list | cut -d ' ' -f 1)
figures=()
for figure in "${known[@]}"; do
    case ${1:-} in
        "$figure" | all) figures+=("$figure") ;;
        claims) [[ $(input_of "$figure") != */claims/* ]] || figures+=("$figure") ;;
    esac
done
((${#figures[@]})) || refuse "usage: paper.sh FIGURE [options of headflow run]; found '${1:-}', there are all, claims and
$(list)"
options=("${@:2}")
largest=${HEADFLOW_LARGEST:-6}
[[ $largest =~ ^[2-9]$ ]] || refuse "HEADFLOW_LARGEST must be a number from 2 to 9, found '$largest'"
out=${HEADFLOW_OUT:-.}
if [[ ! -d $out ]]; then
    mkdir -p "$out"
    trap 'rmdir "$out" 2>/dev/null || true' EXIT # one that stays empty
fi
files=()

# variant NAME [KEY=VALUE ...]: run the figure's input with these keys changed, into FIGURE-NAME.h5 (no NAME: FIGURE.h5).
variant() {
    local file=$out/$figure${1:+-$1}.h5 change changes=()
    shift
    for change; do changes+=(--set "$change"); done
    printf 'computing %s\n' "$file${*:+: $*}"
    run_in_job "${mpi[@]}" "$headflow" run --max-walltime auto "$input" --output "$file" "${changes[@]}" "${options[@]}" ||
        end_after $? "$file"
    files+=("$file")
}

# end_after CODE FILE: ends this script after a run that failed; its output can be another one by another folder alone.
end_after() {
    if (($1 == 2)) && [[ -e $2 ]]; then
        tell "$2 is there already. If these are other numbers, choose another HEADFLOW_OUT (this was $out)"
    fi
    exit "$1"
}

# draw PICTURE [OPTION ...]: draw the variants since the last picture.
draw() {
    "$(dirname "$headflow")/headflow-plot" "${files[@]}" -o "$out/$1.png" "${@:2}"
    files=()
}

# make FIGURE: its variants, its pictures.
make() {
    figure=$1
    input=$(input_of "$figure") || refuse "no input $top/input/*/$figure.toml"
    input=${input%%$'\n'*}
    case $figure in
        fig01)
            variant ''
            draw fig01 --panels overview
            input=$top/input/paper/fig01-bands.toml
            variant bands
            draw fig01-bands --panels m,loss ;;
        fig02)
            for heads in 1 2 3 4 6 8; do variant "H$heads" "attention.heads=$heads"; done
            draw fig02 --panels plane --title 'Flipping spike: heads align with feature 1, then split along feature 2' ;;
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
            draw "$figure" --panels loss,m,plane
            input=$top/input/paper/fig09-bands.toml
            variant bands-softmax-1
            variant bands-bayes-softmax attention.activation=bayes-softmax flow.end_time=60
            draw fig09-bands --panels m,loss ;;
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
        pca)
            variant ''
            draw pca --panels pca,m,space --log-time ;;
        first-phase)
            variant gaussian
            variant flipping model.prior=flipping-spike
            draw first-phase --panels b,attention,m --log-time --title 'Above a signal without a mean, below one with a mean' ;;
        eta)
            variant ''
            draw eta --panels alignment_time,split_time,r,loss ;;
        batches)
            variant B1
            variant B16 sgd.batch=16 sgd.learning_rate=2e-3
            variant B256 sgd.batch=256 sgd.learning_rate=3.2e-2
            draw batches --panels m,loss --title 'SGD with batches of 1, 16 and 256 at the same kappa' ;;
        biases)
            variant ''
            draw biases --panels estimator ;;
        large-signals)
            variant ''
            local files_kept=("${files[@]}")
            draw large-signals --panels trained
            files=("${files_kept[@]}")
            draw large-signals-scalings --panels scalings ;;
        pruning)
            variant atoms
            variant gaussian model.prior=anisotropic-gaussian
            draw pruning --panels prune-spread ;;
        samples)
            local exponent seed replicas=([4]=64 32 8 3 1) ends=([4]=14 18 22 26 31)
            for exponent in {4..12}; do
                for seed in {1..4}; do variant "flow-$exponent-$seed" "start.dimension=1e$exponent" "start.seed=$seed"; done
            done
            for exponent in {4..8}; do
                variant "sgd-$exponent" "start.dimension=1e$exponent" "sgd.dimension=1e$exponent" \
                    "sgd.batch=$((10 ** (exponent - 4)))" sgd.learning_rate=4e-4 sgd.starts=own sgd.outputs=200 \
                    "sgd.replicas=${replicas[exponent]}" "flow.end_time=${ends[exponent]}"
            done
            draw samples --panels samples ;;
        growth | plateaus)
            for activation in softmax softmax-1 bayes-softmax; do
                variant "$activation" "attention.activation=$activation"
            done
            if [[ $figure = growth ]]; then
                draw growth --panels growth
            else
                draw plateaus --panels growth,angle,hierarchy
            fi ;;
        hierarchy)
            variant ''
            variant excursions start.noise=0.3 start.seed=4
            draw hierarchy --panels hierarchy,loss --log-time ;;
        bands)
            variant ''
            draw bands --panels m,loss,cosine ;;
        splits)
            variant ''
            draw splits --panels splits,quantiles ;;
        sparse | clusters)
            variant ''
            draw "$figure" --panels m,loss --log-time ;;
        decay-and-noise | schedule | learning_rate_noise)
            variant ''
            draw "$figure" --panels m,r,loss ;;
        weight-decay | trained-parts)
            variant ''
            draw "$figure" --panels trained ;;
        fluctuations)
            local exponent
            for exponent in 2 3 4; do
                variant "$exponent" "sgd.dimension=1e$exponent" "sgd.learning_rate=1e-$exponent"
            done
            draw fluctuations --panels spread ;;
        specialization_time)
            local exponent seed kappa
            for ((exponent = 2; exponent <= largest; exponent++)); do
                # kappa = 1; 16 replicas at the largest D take most of the time
                variant "sgd-$exponent" "start.dimension=1e$exponent" "sgd.dimension=1e$exponent" sgd.batch=1 \
                    "sgd.learning_rate=1e-$exponent" "sgd.replicas=$((exponent < 6 ? 64 : 16))" sgd.starts=own \
                    "sgd.end_time=$((60 + 25 * exponent))" "sgd.outputs=$((120 + 50 * exponent))" \
                    flow.learning_rate_noise=from-sgd
            done
            for exponent in {2..12}; do
                for seed in {1..16}; do
                    for kappa in 0 1; do
                        variant "kappa$kappa-flow-$exponent-$seed" "start.dimension=1e$exponent" "start.seed=$seed" \
                            "flow.learning_rate_noise=$kappa.0"
                    done
                done
            done
            draw specialization_time --panels specialization ;;
        stages)
            local prior
            for prior in flipping gaussian; do
                input=$top/input/stages/$prior.toml
                variant "$prior"
            done
            draw stages --panels stages | tee "$out/stages.md"
            files=() ;;
    esac
}

for figure in "${figures[@]}"; do make "$figure"; done
