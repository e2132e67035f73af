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
}
