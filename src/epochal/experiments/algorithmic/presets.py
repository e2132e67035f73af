"""Named settings of the experiment ``algorithmic``.

How ``demo`` was chosen. All five seeds must generalise within half a minute on two cores, at least three
times later than they memorise, with a validation accuracy that stays low in between. With the whole
training set per update, LeCun's initialisation and a rate of 4e-3, every network memorises near step 100
whatever the rest; the delay falls with the data fraction and with rate times decay. Searched with seeds 0
to 4 over modulus 41, 43, 47, 53, fraction 0.35 to 0.5, decay 1 to 4, by the step of 99% validation
accuracy: below fraction 0.4 seeds are left behind at 1,500 steps; at 0.45 and above the validation accuracy
jumps to a third or more while the network memorises; modulus 47, fraction 0.4 and decay 3 give 460 to 840
steps. The 1,200 steps leave room for other machines, whose rounding alone moves the time by some 80 steps.
"""

from epochal.core.values.preset import Preset

PRESETS = {
    "demo": Preset(
        meaning="the main job in half a minute: five seeds memorise addition, and generalise much later",
        settings={
            "modulus": 47,
            "train_fraction": 0.4,
            "width": 64,
            "initialization": "lecun",
            "learning_rate": 4e-3,
            "weight_decay": 3.0,
            "max_steps": 1200,
            "record_every": "25+log:8",
            "probe_every.gradient_norm": "200+log:3",
            "seed": "0:5",
        },
    ),
}
