"""Named settings of the experiment ``algorithmic``."""

from epochal.core.values.preset import Preset

PRESETS = {
    "demo": Preset(
        meaning="the main job in a minute: five seeds memorise addition, and generalise much later",
        settings={
            "modulus": 53,
            "train_fraction": 0.4,
            "width": 64,
            "learning_rate": 2e-3,
            "weight_decay": 0.5,
            "max_steps": 3000,
            "seed": "0:5",
        },
    ),
}
