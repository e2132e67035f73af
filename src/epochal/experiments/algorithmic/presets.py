"""Named settings of the experiment ``algorithmic``."""

from epochal.core.values.preset import Preset

PRESETS = {
    "demo": Preset(
        meaning="the main job in half a minute: five seeds memorise addition, and generalise much later",
        settings={
            "modulus": 41,
            "train_fraction": 0.5,
            "width": 64,
            "initialization": "lecun",
            "learning_rate": 4e-3,
            "weight_decay": 1.0,
            "max_steps": 2000,
            "record_every": "20+log:10",
            "probe_every.gradient_norm": "100+log:5",
            "seed": "0:5",
        },
    ),
}
