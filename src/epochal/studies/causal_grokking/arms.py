"""The conditions: A's recipe, each of its changes undone, a grid of shortcut and noise, objectives."""

from collections.abc import Mapping

from epochal.core.values.study import Arm, Form

PENALTIES = {
    "train": "irm_mean",
    "held_out": "irm_mean@held_out",
    "varying": "irm_mean@varying",
    "placebo": "irm_mean@placebo",
}
"""Of which environments the penalty is: CausalGrok's, brightness of training images; of validation images;
validation images whose cue agrees never, half of the time, always; random parts of the training images."""

PROBES = (
    "loss,accuracy,weight_norm,feature_rank,irm,irm@held_out,irm@varying,irm@placebo,occlusion,groups,"
    "cue_flip"
)
RECIPE: Mapping[str, object] = {
    "seed": "100:108",
    "probes": PROBES,
    "probe_options.irm.environments": "brightness",
    "probe_options.irm@held_out.environments": "brightness",
    "probe_options.irm@held_out.split": "val",
    "probe_options.irm@varying.environments": "rho",
    "probe_options.irm@varying.split": "val",
    "probe_options.irm@placebo.environments": "random",
}
QUICK: Mapping[str, object] = {
    "data": "digits",
    "n_train": 400,
    "held_out_fraction": 0.5,
    "image_size": None,
    "normalization": "standard",
    "patch_size": 2,
    "cue_strength": 8.0,
    "model": "mlp",
    "width": 100,
    "initialization": "torch",
    "init_scale": 8.0,
    "weight_decay": 1.0,
    "batch_size": 100,
    "epochs": 500,
    "record_every": "10ep",
    "seed": "50:56",
}
"""An MLP on digits, which break through a shortcut with usual gradients: a strong one, weights that start
large, much decay (searched on other seeds)."""
XRAYS: Mapping[str, object] = {"image_size": 14, "width": 50, "epochs": 150}
"""The quick form on CausalGrok's images: at half their size its patch has two pixels, and six networks take
ten seconds."""
XRAY_DATA = ("pneumoniamnist", "pneumoniamnist_subset.npz")
"""The official set, or a part of it in the same container."""


def arm(
    settings: Mapping[str, object],
    quick: Mapping[str, object] = {},
    *,
    form: Form = "both",
) -> Arm:
    """An arm of the recipe with other settings; ``quick`` are those that are other in the quick form."""
    return Arm(
        experiment="images",
        preset="shortcut",
        settings={**RECIPE, **settings},
        quick={**QUICK, **settings, **quick},
        form=form,
    )


def of_xrays(settings: Mapping[str, object]) -> Arm:
    """An arm of the quick form on X-rays, for those who have them; the full form has no others."""
    quick = {name: value for name, value in {**QUICK, **XRAYS, **settings}.items() if name != "data"}
    return Arm(
        experiment="images",
        preset="shortcut",
        settings=RECIPE,
        quick=quick,
        form="quick",
        data=XRAY_DATA,
    )


SHOWN: Mapping[str, object] = {
    "probes": f"{PROBES},saliency_maps",
    "probe_every.saliency_maps": "100ep",
}
SHOWN_QUICK: Mapping[str, object] = {"probe_every.saliency_maps": "10ep"}
"""Of arms whose examples are shown before the transition and after it."""
CHANGES: Mapping[str, Arm] = {
    "no_filter": arm({**SHOWN, "grokfast": "off"}, SHOWN_QUICK),
    "usual_start": arm({"init_scale": 1.0}),
    "less_decay": arm({"weight_decay": 1e-4}, {"weight_decay": 0.1}),
}
"""What the recipe adds to ``shortcut-standard``, each left out. The fourth, more epochs, is no arm: a shorter
run is the beginning of the longer one."""

GRID: Mapping[str, Arm] = {
    f"rho{round(100 * rho)}_noise{round(100 * noise)}": arm(
        {"grokfast": "off", "rho": rho, "label_noise": noise},
        form="both" if rho > 0.75 and noise < 0.15 else "full",
    )
    for rho in (0.7, 0.8, 0.9)
    for noise in (0.0, 0.1, 0.2)
    if (rho, noise) != (0.8, 0.0)  # that is no_filter
}
"""How often the cue agrees, and how many targets are wrong, without the filter."""

SAME_DATA: Mapping[str, object] = {"grokfast": "off", "environments": "rho", "rho_spread": 0.1}
RETRAINED: Mapping[str, object] = {
    "probes": f"{PROBES},last_layer_retraining",
    "probe_every.last_layer_retraining": "1000ep",
}
"""Of arms that train as usual: what their features would give with another read-out, at the end."""
OTHER: Mapping[str, Mapping[str, object]] = {
    "irm": {"objective": "irm", "penalty_weight": 100.0, "penalty_anneal_steps": 500},
    "vrex": {"objective": "vrex", "penalty_weight": 100.0, "penalty_anneal_steps": 500},
    "group_dro": {"objective": "group_dro"},
    "reweighted": {"objective": "reweighted"},
}
OBJECTIVES: Mapping[str, Arm] = {
    "erm": arm({**SAME_DATA, **RETRAINED}),
    **{name: arm({**SAME_DATA, **settings}) for name, settings in OTHER.items()},
}
"""The penalty as a cause, and what knows the groups. All see the same data, in which environments differ in
how often the cue agrees."""

ON_XRAYS: Mapping[str, Arm] = {
    "xrays": of_xrays({**SHOWN, **SHOWN_QUICK}),
    "xrays_erm": of_xrays({**SAME_DATA, **RETRAINED}),
    "xrays_reweighted": of_xrays({**SAME_DATA, **OTHER["reweighted"]}),
}
AGAINST: Mapping[str, str] = {**dict.fromkeys(OTHER, "erm"), "xrays_reweighted": "xrays_erm"}
"""Which arm of the usual objective each other one is compared with: same data, same seeds."""

ARMS: Mapping[str, Arm] = {"recipe": arm(SHOWN, SHOWN_QUICK), **CHANGES, **GRID, **OBJECTIVES, **ON_XRAYS}
