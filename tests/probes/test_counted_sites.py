"""What local complexity and segment density count: any site of any model, or one line that says why not."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from epochal.check.case import population_of
from epochal.core.tensors import random
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.view import LiveView
from epochal.models.adapter import adapted
from epochal.probes.complexity.frames import own_frames
from epochal.probes.complexity.hull import hull_counts
from epochal.probes.complexity.look import look_at
from epochal.probes.complexity.space import space_of
from tests.probes.test_local_complexity import images, mlp, points, value, view_of

RADIUS = 2.0
MODELS = {
    "mlp": {"model": "mlp", "depth": "2", "width": "7"},
    "convnet": {"model": "convnet", "depth": "2", "width": "2"},
    "resmlp": {"model": "resmlp", "depth": "2", "width": "8"},
    "resnet18": {"model": "resnet18", "width": "2", "norm": "batch"},
    "preact": {"model": "preact_resnet18", "width": "2", "norm": "none"},
    "transformer": {"model": "transformer", "depth": "2"},
    "lstm": {"model": "lstm", "depth": "2"},
}


def one_by_one(space: Any, x: Tensor, frame: Tensor, radius: float) -> dict[str, int]:
    """Every vertex of one example through the network by itself, everything that it shows kept."""
    kept: list[dict[str, list[Tensor]]] = []
    for vertex in torch.cat([x + radius * frame, x - radius * frame]):
        seen: dict[str, list[Tensor]] = {}

        def watch(name: str, value: Tensor, seen: dict[str, list[Tensor]] = seen) -> None:
            seen.setdefault(name, []).append(value[0].clone().flatten())

        def edit(site: str, value: Tensor, seen: dict[str, list[Tensor]] = seen) -> Tensor:
            seen.setdefault(f"after:{site}", []).append(value[0].clone().flatten())
            return value

        tap = Tap(watch=watch, edit=edit)
        seen["logits"] = [space.forward(vertex[None], tap)[0].flatten()]
        kept.append(seen)
    counts = {}
    for name in kept[0]:
        signs = torch.stack([torch.cat(seen[name]).sign() for seen in kept])
        counts[name] = int((signs != signs[0]).any(0).sum())
    return counts


@pytest.mark.parametrize("name", MODELS)
def test_every_site_of_every_model_is_that_of_vertices_one_by_one(name: str) -> None:
    settings = MODELS[name] | {"precision": "float64"}
    program = population_of(settings) if name in ("transformer", "lstm") else images(**settings)
    population = initial_population(program)
    view = LiveView(
        program, step=0, flat=population.flat[0], buffers=population.buffers[0],
        initial=population.flat[0], fields={name: of[0] for name, of in program.fields.items()},
    )  # fmt: skip
    space = space_of(view, "train", 3)
    dimensions = space.dimensions
    frames = own_frames(random.key(1, "test"), torch.arange(3), 2, dimensions, torch.float64)
    layers = space.look.layers(True, ["*", "after:*"])
    assert any(layer.startswith("after:") for layer in layers) and list(layers)[-1] == "logits"
    seen = hull_counts(space, lambda a, b: frames[a:b], vertices=4, radii=(RADIUS,), layers=layers)[0]
    x = space.points(0, 3)
    for number in range(3):
        truth = one_by_one(space, x[number], frames[number], RADIUS)
        assert dict(zip(layers, seen[:, number].int().tolist(), strict=True)) == truth
    assert seen.sum() > 0


@pytest.mark.parametrize("name", ["local_complexity", "segment_density"])
def test_some_sites_are_columns_of_all_in_the_order_of_the_network(name: str) -> None:
    view = view_of(mlp(8, 16, 3), points(20, 8))
    options: dict[str, Any] = {"vertices": 4, "radius": 0.7} if name == "local_complexity" else {"points": 30}
    whole = value(name, view, logits=True, **options)
    assert len(whole[name]) == 4 and whole[name][:3].all()
    for words, places in (("layer.2,layer.0", [0, 2]), ("layer,logits", [0, 1, 2, 3]), ("*.1", [1])):
        some = value(name, view, sites=words, **options)
        assert np.array_equal(some[name], whole[name][places])
        assert np.isclose(some[f"{name}_total"], whole[name][places].sum(), rtol=1e-12)
    also = value(name, view, sites="layer.1", logits=True, **options)
    assert np.array_equal(also[name], whole[name][[1, 3]])


def test_a_wrong_name_is_one_line_with_what_there_is() -> None:
    view = view_of(mlp(8, 16, 2), points(20, 8))
    for name in ("local_complexity", "segment_density"):
        with pytest.raises(
            UserError, match=r"sites=layer\.9 .* layer\.0, layer\.1; .* after:layer\.0"
        ) as told:
            value(name, view, sites="layer.0,layer.9", **({"vertices": 4} if name[0] == "l" else {}))
        assert "\n" not in str(told.value)


class Functional(nn.Module):
    """A module that says nothing of its units; ``merged`` makes one row of each position."""

    def __init__(self, merged: bool = False) -> None:
        super().__init__()
        self.fc1, self.fc2, self.relu, self.merged = nn.Linear(4, 6), nn.Linear(6, 2), nn.ReLU(), merged

    def forward(self, x: Tensor) -> Tensor:
        if not self.merged:
            return self.fc2(torch.relu(self.fc1(x)))  # type: ignore[no-any-return]
        rows = x.reshape(-1, 3, 4).transpose(0, 1).flatten(0, 1)
        return self.fc2(self.relu(self.fc1(rows))).unflatten(0, (3, -1)).mean(0)  # type: ignore[no-any-return]


def test_functions_are_counted_at_what_passes_the_map_before_them() -> None:
    torch_net = Functional().double().requires_grad_(False)
    x, told = points(30, 4), mlp(4, 6, 1)
    with torch.no_grad():
        told.layer[0].load_state_dict(torch_net.fc1.state_dict())
    view = view_of(adapted(torch_net), x)
    with pytest.raises(UserError, match=r"showed no units.*here after:fc1, after:fc2"):
        value("local_complexity", view, vertices=4)
    seen = value("local_complexity", view, vertices=4, radius=0.7, sites="after:fc1")
    truth = value("local_complexity", view_of(told, x), vertices=4, radius=0.7)
    assert (
        np.array_equal(seen["local_complexity"], truth["local_complexity"]) and truth["local_complexity"] > 0
    )


def test_what_has_no_row_per_example_is_refused() -> None:
    view = view_of(adapted(Functional(merged=True).double().requires_grad_(False)), points(30, 12))
    with pytest.raises(
        UserError, match=r"relu has shape \(15, 6\) for 5 examples.*sites= \(there is logits\)"
    ):
        value("local_complexity", view, vertices=4)
    assert value("local_complexity", view, vertices=4, radius=3, sites="logits")["local_complexity_total"] > 0


def test_the_first_map_is_the_hull_s_only_where_it_gets_the_inputs_and_stays() -> None:
    net, x = mlp(4, 6, 1), points(30, 4)

    def run(way: str, rows: Tensor, tap: Tap) -> Tensor:
        layer = net.layer[0]
        if way == "scaled":
            h = tap.enter(layer, 2 * rows)
        elif way == "in place":
            h = tap.enter(layer, rows).add_(1)
        elif way == "twice":
            h = tap.before("other", tap.enter(layer, 2 * rows)) + tap.enter(layer, rows)
        else:
            h = tap.enter(layer, rows) if way == "plain" else layer(rows)
        return net.readout(tap.before("units", h).relu())  # type: ignore[no-any-return]

    def total(way: str) -> float:
        view = view_of(lambda rows, tap: run(way, rows, tap), x)
        seen = value("local_complexity", view, vertices=4, radius=0.7, sites="units")
        return float(seen["local_complexity_total"])

    assert total("plain") == total("without") > 0
    assert np.isnan(total("scaled")) and np.isnan(total("in place"))
    with torch.no_grad():
        look = look_at(lambda rows, tap: run("twice", rows, tap), x[:1])
    assert not look.has_entry and total("twice") > 0
