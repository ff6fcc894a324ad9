"""Cases of same_bits.py: every input that comes with headflow."""
import sys
from pathlib import Path

from bits_steps import ANY, Case, Step, sets

INPUTS = Path(__file__).resolve().parents[2] / "input"

# Small; a sweep writes nothing before its end, so that the number of its checkpoints does not depend on its speed.
GALLERY_SIZE = "population.samples=2048 population.test_samples=4096 output.every=1e9 "
SHORT_SGD = "sgd.dimension=1000 sgd.learning_rate=0.0064 sgd.replicas=2 sgd.outputs=8 "
BANDS = "flow.end_time=10 sgd.replicas=2 sgd.outputs=8 flow.outputs=8 "
TRAIN = "train.starts=2 train.evaluations=100 "
CLOSED = "population.samples=64 flow.end_time=500 "  # 64 images of each sample
BAYES = "bayes.standard_error=1e-2 bayes.samples=65536 "
FOUR = 'sweep."model.signal[1]"=[0.5,10.0] sweep."model.signal[2]"=[2.0,5.0] '
GAUSSIAN_PRIOR = "model.prior=anisotropic-gaussian "
STARTS_SWEPT = 'sweep."start.dimension"='

# Every file below input/: its variants by name, with the keys that make them small; most as in jobs/paper.sh.
GALLERY = {
    "quickstart": {"": "flow.end_time=150"},
    "learning_rate_noise": {"": "sgd.end_time=8 sgd.replicas=5 sgd.outputs=10 flow.outputs=20"},
    "fluctuations": {"": "sgd.end_time=10 sgd.replicas=9 sgd.outputs=10"},
    "fluctuations/splits": {"": "sgd.end_time=1 sgd.replicas=2 sgd.outputs=10"},
    "priors/sparse": {"": "flow.end_time=100 flow.outputs=20 " + BAYES},
    "priors/clusters": {"": "flow.end_time=100 flow.outputs=20 " + BAYES},
    "training/weight-decay": {"": TRAIN + BAYES + 'sweep."attention.weight_decay"=[1e-4,1e-2]'},
    "training/trained-parts": {"": TRAIN + BAYES + 'sweep."attention.heads"=[1,3]'},
    "training/schedule": {"": "sgd.end_time=4 sgd.replicas=2 sgd.outputs=4"},
    "training/decay-and-noise": {"": "sgd.end_time=4 sgd.replicas=2 sgd.outputs=4"},
    "fluctuations/bands": {"": "sgd.end_time=10 sgd.replicas=2 sgd.outputs=10"},
    "specialization_time": {
        "flow": "start.dimension=1e8",
        "sgd": "start.dimension=1e2 sgd.dimension=1e2 sgd.batch=1 sgd.learning_rate=1e-2 sgd.replicas=8 sgd.starts=own "
               "sgd.end_time=60 sgd.outputs=20 flow.learning_rate_noise=from-sgd"},
    "paper/fig01": {"": SHORT_SGD + "flow.end_time=20"},
    "paper/fig01-bands": {"": BANDS},
    "paper/fig02": {"H1": "attention.heads=1", "H6": "attention.heads=6"},
    "paper/fig03": {"H2": "attention.heads=2", "H8": "attention.heads=8 start.seed=3",
                    "equal": "model.signal=[10]"},
    "paper/fig04": {"softmax": "", "bayes-softmax": "attention.activation=bayes-softmax flow.end_time=4000"},
    "paper/fig05-left": {"atoms": TRAIN + BAYES + 'sweep."attention.heads"=[1,4]',
                         "gaussian": TRAIN + BAYES + GAUSSIAN_PRIOR + 'sweep."attention.heads"=[1,4]'},
    "paper/fig05-right": {
        "atoms": TRAIN + BAYES + 'sweep."model.signal[1]"={from=0.5,to=20.0,count=3,spacing="log"}',
        "flipping": TRAIN + BAYES + "model.prior=flipping-spike model.signal=[1.0,1.0] "
                    'sweep."model.signal[1]"=[0.5,20.0] sweep."model.signal[2]"={from=0.5,to=20.0,count=2} '
                    'sweep.zip=[["model.signal[1]","model.signal[2]"]]'},
    "paper/fig06": {name: TRAIN + f"attention.activation={name}" for name in ("softmax", "softmax-1", "bayes-softmax")},
    "paper/fig07": {"atoms": TRAIN + BAYES, "gaussian": TRAIN + BAYES + GAUSSIAN_PRIOR},
    "paper/fig08": {"monte-carlo": "flow.end_time=50 population.resample=1",
                    "sobol": "flow.end_time=50 population.sampling=sobol"},
    "paper/fig09": {"softmax-1": SHORT_SGD + "flow.end_time=20",
                    "bayes-softmax": SHORT_SGD + "flow.end_time=20 attention.activation=bayes-softmax"},
    "paper/fig09-bands": {"softmax-1": BANDS},
    "paper/fig10": {name: SHORT_SGD + f"flow.end_time=12 attention.activation={name}"
                    for name in ("softmax", "softmax-1", "bayes-softmax")},
    "paper/fig11": {"": TRAIN + FOUR},
    "paper/fig12": {"": TRAIN + FOUR},
    "paper/fig13": {"": TRAIN + FOUR},
    "paper/fig14": {"": TRAIN + FOUR},
    "paper/fig15": {"": "attention.heads=4"},
    "paper/fig16": {"": ""},
    "paper/fig17": {"": "start.seed=3 flow.end_time=3000"},
    "paper/fig18": {"": "start.seed=5"},
    "paper/fig19": {"": "flow.end_time=1000"},
    "paper/fig20": {"": CLOSED, "H4": CLOSED + "start.seed=1 model.features=2 attention.heads=4"},
    "claims/pca": {"": "flow.end_time=100"},
    "claims/first-phase": {"gaussian": "", "flipping": "model.prior=flipping-spike"},
    "claims/eta": {"": 'sweep."start.eta"=[0.1,10.0] sweep.repeats=2 population.samples=256 flow.end_time=50'},
    "claims/batches": {"B1": "sgd.end_time=4 sgd.replicas=2 sgd.outputs=10", "B256":
                       "sgd.batch=256 sgd.learning_rate=3.2e-2 sgd.end_time=10 sgd.replicas=2 sgd.outputs=10"},
    "claims/biases": {"": TRAIN + BAYES + "sweep.repeats=2"},
    "claims/large-signals": {"": BAYES + "train.evaluations=100"},
    "claims/pruning": {"atoms": TRAIN + BAYES},
    "claims/samples": {"flow": "start.dimension=1e8",
                       "sgd": "sgd.dimension=1e4 sgd.batch=1 sgd.learning_rate=4e-4 sgd.starts=own sgd.replicas=2 "
                              "sgd.outputs=20 flow.end_time=16"},
    "stages/flipping": {"": f"{STARTS_SWEPT}[1e2,1e12] sweep.repeats=2 population.samples=256"},
    "stages/gaussian": {"F2": f'{STARTS_SWEPT}[1e6] sweep."model.features"=[2] sweep.repeats=1 population.samples=256',
                        "F3": f'{STARTS_SWEPT}[1e4] sweep."model.features"=[2,3] sweep.repeats=1 population.samples=64 '
                              'sweep."attention.activation"=["softmax-1"] flow.end_time=60'},
    "stages/growth": {"": ""},
    "stages/hierarchy": {"": "population.samples=1024",
                         "excursions": "population.samples=1024 start.noise=0.3 start.seed=4"},
    "stages/plateaus": {"": "population.samples=256",
                        "bayes-softmax": "population.samples=256 flow.outputs=100 attention.activation=bayes-softmax"},
    "stages/restoring": {"": 'sweep."model.mean[1]"=[0.75,3.0]'},
}
GALLERY_ON_MANY = {"learning_rate_noise", "fluctuations", "paper/fig01", "paper/fig05-left", "paper/fig06",
                   "paper/fig08", "stages/plateaus"}


def gallery():
    """All inputs that come with headflow: resolved, computed, and the last file listed."""
    paths = {str(path.relative_to(INPUTS).with_suffix("")): path for path in INPUTS.rglob("*.toml")}
    if set(paths) != set(GALLERY):
        sys.exit(f"same_bits.py: GALLERY and the files in {INPUTS} differ: {sorted(set(paths) ^ set(GALLERY))}")
    for name, path in paths.items():
        steps = [Step(("check", path.name), ranks=0)]
        for variant, keys in GALLERY[name].items():
            output = f"{path.stem}{'-' if variant else ''}{variant}.h5"
            steps.append(Step(("run", path.name, "--output", output, *sets(GALLERY_SIZE + keys))))
        steps.append(Step(("info", output), ranks=0))
        yield Case(f"input/{name}", {path.name: path.read_text()}, steps, ANY if name in GALLERY_ON_MANY else (0,))
