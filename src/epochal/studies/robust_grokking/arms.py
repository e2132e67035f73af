"""The conditions: ResNet18 on CIFAR-10 and a transformer in the full form, small networks in the quick one.

The coefficient is sampled while training, at few records, with step size, gamma and n_beta fixed for a kind
of network, so that records compare. In the quick form they follow from the largest curvature on the way
(about 20 for the transformer, 4 for the MLP) of seeds below 70, which no form trains: ``eps n_beta h`` and
``eps gamma`` are at most .15, so that steps add less than a tenth of the value, and chains of some hundred
draws settle. (With steps two and a half times as long they added 11 to 13%, and no record counted.)
Localised like that, the coefficient leaves out directions whose curvature is far below gamma / n_beta. In the
full form they are guesses by the same rule, for curvatures of about 100 (ResNet18) and 20.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from epochal.core.values.study import Arm
from epochal.experiments.images.presets import COMPLEXITY_LABELS, COMPLEXITY_PROBES

SEEDS, QUICK = "100:105", "70:76"
IMAGE_PROBES = f"loss,accuracy,weight_norm,robust_accuracy,llc,hessian,{COMPLEXITY_PROBES}"
TOKEN_PROBES = "loss,accuracy,weight_norm,llc,hessian,local_complexity,local_complexity@val"


def options(**given: object) -> dict[str, object]:
    """Options of probes, as ``llc__draws``; those of local complexity are for every kind of points."""
    made: dict[str, object] = {}
    for name, value in given.items():
        probe, _, option = name.partition("__")
        labels = list(COMPLEXITY_LABELS.values()) if probe == "local_complexity" else [""]
        made |= {f"probe_options.{probe}{label}.{option}": value for label in labels}
    return made


RESNET: Mapping[str, object] = {
    "seed": SEEDS,
    "probes": IMAGE_PROBES,
    "probe_every.llc": "log:4",
    "probe_every.hessian": "log:4",
    **options(
        llc__step_size=2e-7, llc__gamma=5e5, llc__n_beta=4600.0, llc__draws=450, llc__burn_in=130,
        hessian__samples=1024,
    ),
}  # fmt: skip

SMALL_MLP: Mapping[str, object] = {
    "data": "digits", "n_train": 500, "width": 32, "depth": 2, "batch_size": 100, "precision": "float32",
    "learning_rate": 4e-3, "max_steps": 12_000, "record_every": "log:6", "attack_steps": 3, "seed": QUICK,
    "probes": IMAGE_PROBES, "probe_every.llc": "log:3", "probe_every.hessian": "log:3",
    **options(
        local_complexity__radius=0.1, local_complexity__vertices=20, local_complexity__samples=500,
        local_complexity__form="independent", local_complexity__logits=False,
        robust_accuracy__samples=200, robust_accuracy__check_samples=0,
        llc__step_size=1.5e-4, llc__gamma=1000.0, llc__n_beta=80.0, llc__draws=450, llc__burn_in=130,
        llc__batch_size=100, hessian__samples=500, hessian__iterations=20, hessian__draws=8,
    ),
}  # fmt: skip

TOKENS: Mapping[str, object] = {
    "seed": SEEDS, "probes": TOKEN_PROBES, "record_every": "100+log:8",
    "probe_every.llc": 500, "probe_every.hessian": 500,
    "probe_options.local_complexity@val.split": "val",
    "probe_options.llc.step_size": 1e-5, "probe_options.llc.gamma": 1e4,
    "probe_options.llc.n_beta": 460.0, "probe_options.llc.draws": 480, "probe_options.llc.burn_in": 90,
}  # fmt: skip

SMALL_TOKENS: Mapping[str, object] = {
    **TOKENS,
    "modulus": 31, "width": 48, "train_fraction": 0.6, "weight_decay": 1.5, "max_steps": 800,
    "record_every": 20, "seed": QUICK, "probe_every.llc": 80, "probe_every.hessian": 80,
    "probe_options.local_complexity.samples": 100, "probe_options.local_complexity@val.samples": 100,
    "probe_options.local_complexity.vertices": 20, "probe_options.local_complexity@val.vertices": 20,
    "probe_options.local_complexity.radius": 0.05, "probe_options.local_complexity@val.radius": 0.05,
    "probe_options.llc.chains": 3, "probe_options.llc.step_size": 4.5e-5,
    "probe_options.llc.gamma": 2000.0, "probe_options.llc.n_beta": 90.0, "probe_options.llc.batch_size": 128,
    "probe_options.hessian.samples": 256, "probe_options.hessian.iterations": 15,
    "probe_options.hessian.draws": 8,
}  # fmt: skip


def resnet(**settings: object) -> Arm:
    return Arm(experiment="images", preset="adversarial", settings={**RESNET, **settings}, form="full")


def small_resnet(**settings: object) -> Arm:
    given = {**SMALL_RESNET, **SPLIT_OPTIONS, **settings}
    return Arm(experiment="images", preset="adversarial", settings=given, form="quick")


def mlp(**settings: object) -> Arm:
    given = {**SMALL_MLP, **SPLIT_OPTIONS, **settings}
    return Arm(experiment="images", preset="adversarial-mlp", settings=given, form="quick")


SMALL_RESNET: Mapping[str, object] = {
    "data": "digits", "n_train": 200, "normalization": "raw", "width": 4,
    "batch_size": 50, "learning_rate": 2e-3, "max_steps": 400, "record_every": "log:5", "epsilon": 0.1,
    "seed": QUICK,
    "probes": f"loss,accuracy,weight_norm,robust_accuracy,{COMPLEXITY_PROBES}",
    **options(
        local_complexity__radius=0.1, local_complexity__vertices=20, local_complexity__samples=200,
        local_complexity__form="independent", robust_accuracy__samples=200, robust_accuracy__check_samples=0,
    ),
}  # fmt: skip
"""The full form's network at a quarter of its width: the MLP has no place for batch norm. Neither the
coefficient nor the Hessian, which would take most of the time."""

SPLIT_OPTIONS = {
    f"probe_options.local_complexity{label}.split": split for split, label in COMPLEXITY_LABELS.items()
}

ARMS: Mapping[str, Arm] = {
    "resnet": resnet(),
    "resnet_pgd": resnet(training="pgd"),
    "resnet_batchnorm": resnet(norm="batch"),
    "resnet_batchnorm_pgd": resnet(norm="batch", training="pgd"),
    "modular": Arm(
        experiment="algorithmic", preset="nanda", settings={**TOKENS, "max_steps": 20_000}, form="full"
    ),
    "mlp": mlp(),
    "mlp_pgd": mlp(training="pgd"),
    "small_resnet": small_resnet(),
    "small_resnet_batchnorm": small_resnet(norm="batch"),
    "small_modular": Arm(experiment="algorithmic", preset="demo", settings=SMALL_TOKENS, form="quick"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Course:
    """Which curve saturates first in an arm, and which rises after it."""

    first: str
    then: str
    words: tuple[str, str]


IMAGES = Course(first="val_accuracy", then="robust_accuracy", words=("clean accuracy", "robust accuracy"))
MODULAR = Course(
    first="train_accuracy", then="val_accuracy", words=("training accuracy", "validation accuracy")
)

COURSES: Mapping[str, Course] = {role: MODULAR if "modular" in role else IMAGES for role in ARMS}
PAIRS = (("resnet", "resnet_pgd"), ("resnet_batchnorm", "resnet_batchnorm_pgd"), ("mlp", "mlp_pgd"))
"""Standard training, and training against the attack, at otherwise equal conditions."""
NORMS = (
    ("resnet", "resnet_batchnorm"),
    ("resnet_pgd", "resnet_batchnorm_pgd"),
    ("small_resnet", "small_resnet_batchnorm"),
)
"""Without batch norm, and with it."""
