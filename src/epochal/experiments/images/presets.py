"""Named settings of the experiment ``images``."""

from epochal.core.values.preset import Preset

OMNIGROK = {
    "data": "mnist",
    "n_train": 1000,
    "normalization": "raw",
    "model": "mlp",
    "depth": 2,
    "width": 200,
    "initialization": "torch",
    "init_scale": 8.0,
    "init_scaled": "all",
    "objective": "mse",
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "beta2": 0.999,
    "warmup_steps": 0,
    "batch_size": 200,
    "max_steps": 100_000,
    "record_every": "667+log:10",
}
"""``depth`` counts hidden layers: two, and the read-out, are the three linear layers of the source."""

SHORTCUT = {
    "data": "pneumoniamnist",
    "n_train": 500,
    "image_size": 28,
    "normalization": "half",
    "channels": "rgb",
    "cue": "patch",
    "patch_size": 4,
    "model": "resnet18",
    "width": 64,
    "norm": "batch",
    "stem": "large",
    "initialization": "torchvision",
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "beta2": 0.999,
    "warmup_steps": 0,
    "gradient_clip": 1.0,
    "batch_size": 32,
    "last_batch": "keep",
    "num_environments": 3,
    "seed": 42,
    "record_every": "50ep+at:1ep",
    "probes": "loss,accuracy,weight_norm,feature_rank,irm,irm@held_out,irm@placebo,occlusion,groups",
    "probe_options.irm.environments": "brightness",
    "probe_options.irm@held_out.environments": "brightness",
    "probe_options.irm@held_out.split": "val",
    "probe_options.irm@placebo.environments": "random",
}
"""What the source's two presets share. It measures the penalty on training images, as ``irm`` does; that of
held-out ones, and of environments that differ in nothing, stand beside it."""
COMPLEXITY_LABELS = {"train": "", "val": "@val", "random": "@random"}
"""Points of local complexity, and the label of the probe that measures there."""
COMPLEXITY_PROBES = ",".join(f"local_complexity{label}" for label in COMPLEXITY_LABELS.values())


def complexity_of(**options: object) -> dict[str, object]:
    """The published form of local complexity on training, validation and random points."""
    return {
        f"probe_options.local_complexity{label}.{name}": value
        for split, label in COMPLEXITY_LABELS.items()
        for name, value in {"split": split, "form": "published", **options}.items()
    }


ADVERSARIAL = {
    "data": "cifar10",
    "normalization": "compat",
    "model": "resnet18",
    "preactivation": True,
    "norm": "none",
    "width": 16,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "beta2": 0.999,
    "warmup_steps": 0,
    "batch_size": 256,
    "max_steps": 500_000,
    "seed": 42,
    "epsilon": "10/255",
    "record_every": "log(1,501187,50)",
    "probes": "loss,accuracy,weight_norm,robust_accuracy,robust_accuracy@compat," + COMPLEXITY_PROBES,
    **complexity_of(vertices=40, radius="0.005", samples=1024),
    "probe_options.robust_accuracy@compat.space": "normalized",
    "probe_options.robust_accuracy@compat.epsilon": "50/255",
    "probe_options.robust_accuracy@compat.step_size": "4/255",
    "probe_options.robust_accuracy@compat.samples": 0,
    "probe_options.robust_accuracy@compat.check_samples": 0,
}
"""``robust_accuracy`` follows the run's ``epsilon``, in pixels; ``robust_accuracy@compat`` is the source's:
10 steps of 4/255 within 50/255 of the normalised inputs, some 10/255 in pixels, between two numbers for all
channels. Its optimiser is named adam and is AdamW. 47 distinct steps, and step 0. Local complexity at the
same records, on its 1,024 examples each; its "test" points were training images, ours are of the validation
split."""

ADVERSARIAL_MLP = {
    "data": "mnist",
    "n_train": 1000,
    "normalization": "raw",
    "model": "mlp",
    "depth": 3,
    "width": 200,
    "activation": "gelu",
    "initialization": "torch",
    "objective": "mse",
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "beta2": 0.999,
    "warmup_steps": 0,
    "batch_size": 200,
    "precision": "float64",
    "max_steps": 1_000_000,
    "epsilon": 0.1,
    "record_every": "6667+log:20",
    "probes": "loss,accuracy,weight_norm,robust_accuracy," + COMPLEXITY_PROBES,
    **complexity_of(vertices=50, radius="0.05,0.1,0.5,1,5", samples=1000, logits=True),
}
"""``depth`` counts hidden layers: three, and the read-out, are depth 4 of the source (2 to 6 are 1 to 5).
Its 1,000 images are drawn with replacement; it has no attack, so ``epsilon`` is ours. It measures local
complexity, the logits among the layers, on 10,000 validation and 10,000 random points: here on 1,000 each,
which is a seventh of the cost at three times the error; ``probe_options.local_complexity@val.samples=10000``
is its."""

PRESETS = {
    "digits": Preset(
        meaning="five MLPs on the 8 x 8 digits, seconds on two cores",
        settings={"data": "digits", "width": 100, "batch_size": 100, "epochs": 20, "seed": "0:5"},
    ),
    "omnigrok": Preset(
        meaning="grokking on images: 1,000 of MNIST, three layers that start 8 times as large as usual",
        source="Liu, Michaud & Tegmark 2023 (Omnigrok), in the form of grokfast 93b2248, main_mnist.py",
        settings=OMNIGROK,
    ),
    "grokfast": Preset(
        meaning="omnigrok, slow gradients amplified, decay 2; control: grokfast=off at equal decay",
        source="grokfast 93b2248, main_mnist.py with EMA 0.8, 0.1",
        settings={
            **OMNIGROK,
            "weight_decay": 2.0,
            "grokfast": "ema",
            "grokfast_alpha": 0.8,
            "grokfast_lambda": 0.1,
        },
    ),
    "adversarial": Preset(
        meaning="delayed robustness: pre-activation ResNet18 without norm on CIFAR-10, 699,066 parameters",
        source="Humayun et al. 2024, grok-adversarial 74d36ce, train_resnet18_cifar10.py",
        settings=ADVERSARIAL,
    ),
    "adversarial-mlp": Preset(
        meaning="the MLP of the same study: 1,000 of MNIST, three hidden layers of 200, squared error",
        source="Humayun et al. 2024, grok-adversarial 74d36ce, train_mlp_mnist.py",
        settings=ADVERSARIAL_MLP,
    ),
    "credit": Preset(
        meaning="credit assignment in a residual MLP on CIFAR-10: norms, gradients and alignment per site",
        settings={
            "data": "cifar10",
            "crop_padding": 4,
            "flip": True,
            "model": "resmlp",
            "depth": 4,
            "width": 256,
            "batch_size": 128,
            "last_batch": "keep",
            "epochs": 100,
            "anneal_per_epoch": True,
            "anneal_final_fraction": 0.0,
            "warmup_steps": 0,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "beta2": 0.999,
            "feedback_sharing": "first_for_embedding",
            "seed": 42,
            "record_every": "1ep",
            "probes": "hidden_norm,gradient_norm,credit_alignment,sample_accuracy,loss,accuracy",
            "probe_options.loss.splits": "val",
            "probe_options.accuracy.splits": "val",
            "probe_options.gradient_norm.of": "sites",
        },
        source="snapshot evolution under backprop and DFA; AdamW as in torch, cosine stepped per epoch",
    ),
    "shortcut": Preset(
        meaning="a coloured patch beside chest X-rays, weights that start 4 times as large, slow gradients "
        "amplified; controls: cue=none, grokfast=off, init_scale=1",
        source="CausalGrok, preset grokking (its command line's default); without --spurious-rho: cue=none",
        settings={
            **SHORTCUT,
            "epochs": 3000,
            "weight_decay": 1e-3,
            "init_scale": 4.0,
            "grokfast": "ema",
            "grokfast_alpha": 0.98,
            "grokfast_lambda": 2.0,
        },
    ),
    "shortcut-standard": Preset(
        meaning="shortcut with usual weights, a tenth of the epochs and of the decay, no filter",
        source="CausalGrok, preset standard; without --spurious-rho: cue=none",
        settings={**SHORTCUT, "epochs": 300, "weight_decay": 1e-4},
    ),
}
