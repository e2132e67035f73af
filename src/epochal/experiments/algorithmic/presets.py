"""Named settings of the experiment ``algorithmic``.

The published systems, each with its own network, numerics and length; ``epochal show algorithmic NAME``
prints one. Early stopping is off in all of them. Where their conditions differ from ours they are fields
like any other: ``warmup_from_zero`` (the first update has rate 0), ``last_batch=keep`` (an update on an
epoch's small remainder), ``batch_size=auto`` (512, at most half of the training set). Two things are no
fields. Their logs count the last completed update from 0: their step s is step s + 1 here. They split the
table once for all runs: ``split_seed=0`` does so, while here each seed has a split of its own unless it is
set.

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

PUBLISHED = {
    "warmup_steps": 10,
    "warmup_from_zero": True,
    "probes": "loss,accuracy,weight_norm",
    "record_every": "log:116",  # their validation: every epoch, later every 2% of the epochs so far
}
"""What the published systems have in common."""

MIML = {
    **PUBLISHED,
    "operation": "+",
    "modulus": 97,
    "tokens": "operands",
    "vocabulary": "openai",
    "classes": "vocabulary",
    "train_fraction": 0.5,
    "dropout": 0.1,
    "weight_decay": 0.1,
    "batch_size": "auto",
    "last_batch": "keep",
    "max_steps": 100_000,
}

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
    "miml": Preset(
        meaning="the sum modulo 97 from the operands alone, scored over the whole vocabulary; position means",
        source="MIML-grokking 86b686d: transformer, 455,424 parameters, AdamW, half of the table",
        settings={
            **MIML,
            "depth": 2,
            "mlp_bias": False,
            "layer_norm": "post",
            "position": "sinusoidal",
            "readout": "mean",
            "dropout_at": "mlp",
        },
    ),
    "miml-lstm": Preset(
        meaning="miml with an LSTM on one-hot vectors",
        source="MIML-grokking 86b686d: 351,855 parameters that are used",
        settings={**MIML, "model": "lstm", "depth": 2, "embedding": "onehot", "readout_bias": True},
    ),
    "miml-mlp": Preset(
        meaning="miml with an MLP on concatenated one-hot vectors",
        source="MIML-grokking 86b686d: 249,839 parameters that are used",
        settings={**MIML, "model": "mlp", "width": 256, "depth": 2, "readout_bias": True},
    ),
    "openai": Preset(
        meaning="whole equations; the loss is on the result and the end token, and both must be right",
        source="openai/grok 3d64b1d, with the division, fraction and decay of Power et al. 2022, figure 1",
        settings={
            **PUBLISHED,
            "operation": "/",
            "modulus": 97,
            "tokens": "equation",
            "answer": "result_and_end",
            "vocabulary": "openai",
            "classes": "vocabulary",
            "train_fraction": 0.5,
            "depth": 2,
            "mlp_bias": False,
            "layer_norm": "post",
            "position": "sinusoidal",
            "weight_decay": 1.0,
            "batch_size": "auto",
            "last_batch": "keep",
            "max_steps": 100_000,
        },
    ),
    "nanda": Preset(
        meaning="one layer without layer norm on a, b, =; 30% of the table modulo 113 at once",
        source="Nanda et al. 2023, progress-measures-paper (226,816 parameters)",
        settings={
            **PUBLISHED,
            "operation": "+",
            "modulus": 113,
            "tokens": "equals",
            "classes": "vocabulary",
            "train_fraction": 0.3,
            "depth": 1,
            "initialization": "nanda",
            "objective": "cross_entropy_float64",
            "weight_decay": 1.0,
            "batch_size": "full",
            "max_steps": 50_000,
        },
    ),
    "gromov": Preset(
        meaning="two layers and a square, whose exact solution is known, by plain gradient descent",
        source="Gromov 2023, equations 1 and 2 (145,500 parameters); the rate is ours, his is not printed",
        settings={
            "operation": "+",
            "modulus": 97,
            "tokens": "operands",
            "train_fraction": 0.5,
            "model": "mlp",
            "width": 500,
            "depth": 1,
            "activation": "quadratic",
            "mlp_bias": False,
            "parametrization": "mean_field",
            "initialization": "normal",
            "objective": "mse",
            "optimizer": "sgd",
            "momentum": 0.0,
            "learning_rate": 1e5,
            "warmup_steps": 0,
            "batch_size": "full",
            "max_steps": 30_000,
            "probes": "loss,accuracy,weight_norm",
            "record_every": "100+log:20",
        },
    ),
    "grokfast": Preset(
        meaning="products modulo 97, slow gradients amplified; control: grokfast=off at equal decay",
        source="grokfast 93b2248, main.py: EMA 0.98, 2, decay 0.005; 97 products more, those with 0",
        settings={
            **PUBLISHED,
            "operation": "*",
            "modulus": 97,
            "tokens": "infix",
            "classes": "vocabulary",
            "train_fraction": 0.5,
            "depth": 2,
            "activation": "gelu",
            "layer_norm": "input",
            "attention_bias": True,
            "initialization": "multihead",
            "optimizer": "adam",
            "weight_decay": 0.005,
            "grokfast": "ema",
            "grokfast_alpha": 0.98,
            "grokfast_lambda": 2.0,
            "batch_size": 512,
            "last_batch": "keep",
            "max_steps": 300_000,
        },
    ),
}
