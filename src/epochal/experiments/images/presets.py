"""Named settings of the experiment ``images``."""

from epochal.core.values.preset import Preset

PRESETS = {
    "digits": Preset(
        meaning="five MLPs on the 8 x 8 digits, seconds on two cores",
        settings={"data": "digits", "width": 100, "batch_size": 100, "epochs": 20, "seed": "0:5"},
    ),
}
