"""Named settings of the experiment ``images``."""

from epochal.core.values.preset import Preset

PRESETS = {
    "digits": Preset(
        meaning="five MLPs on the 8 x 8 digits, seconds on two cores",
        settings={"data": "digits", "width": 100, "batch_size": 100, "epochs": 20, "seed": "0:5"},
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
