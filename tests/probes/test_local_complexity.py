"""Local complexity and segment density against geometry, brute force and what must leave them unchanged."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from epochal import GivenView
from epochal.check.case import population_of
from epochal.core.tensors import random
from epochal.core.tensors.tap import Tap
from epochal.core.values.errors import UserError
from epochal.core.values.options import parse_options
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.experiments.catalog import find as find_experiment
from epochal.models.images.mlp import MLP
from epochal.probes import find
from epochal.probes.complexity import hull, space
from epochal.probes.complexity.frames import own_frames, shared_frame
from epochal.probes.complexity.hull import hull_counts
from epochal.probes.complexity.space import space_of

KEY = random.key(3, "test")


def mlp(inputs: int, width: int, depth: int, activation: Any = "relu", seed: int = 0) -> MLP:
    """With biases large enough that zeros lie everywhere."""
    net = MLP(num_inputs=inputs, num_classes=3, depth=depth, width=width, activation=activation).double()
    values = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.5
            parameter.copy_(torch.tensor(values.normal(size=tuple(parameter.shape)) * scale))
    return net.requires_grad_(False)


def points(number: int, dimensions: int, seed: int = 1) -> Float[Tensor, "N d"]:
    return torch.tensor(np.random.default_rng(seed).normal(size=(number, dimensions)))


def view_of(net: Any, inputs: Tensor, **fields: Tensor) -> GivenView:
    targets = torch.zeros(len(inputs), dtype=torch.int64)
    return GivenView(
        given_inputs={"train": inputs}, given_targets={"train": targets}, given_network=net, fields=fields
    )


def value(name: str, view: Any, **options: Any) -> dict[str, Any]:
    probe = find(name)
    measured = probe.configured(parse_options(probe.options, options, name)).measure(view)
    return {column: each.double().numpy() for column, each in measured.items()}


def brute_force(net: MLP, x: Tensor, frames: Tensor, radius: float, logits: bool) -> list[list[int]]:
    """As the published code counts: signs of every pre-activation at every vertex against the first's."""
    counts = []
    for number, example in enumerate(x):
        frame = frames[number if len(frames) > 1 else 0]
        h = torch.cat([example + radius * frame, example - radius * frame])
        each = []
        for place, layer in enumerate([*net.layer, net.readout]):
            z = nn.functional.linear(h, layer.weight, layer.bias)
            h = net.activation(z)
            if place < len(net.layer) or logits:
                each.append(int((z.sign() != z.sign()[0]).any(0).sum()))
        counts.append(each)
    return counts


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("form", ["published", "independent"])
def test_counts_are_those_of_brute_force(form: str, activation: str) -> None:
    net, x, radii = mlp(12, 20, 3, activation), points(30, 12), (0.01, 0.3, 4.0)
    if form == "published":
        frames = shared_frame(KEY, 5, 12, torch.float64)
    else:
        frames = own_frames(KEY, torch.arange(30), 5, 12, torch.float64)
    space = space_of(view_of(net, x), "train", 30)
    assert space.look.has_entry
    seen = hull_counts(
        space,
        lambda first, last: frames if len(frames) == 1 else frames[first:last],
        vertices=10,
        radii=radii,
        layers=space.look.layers(True),
    )
    expected = [np.array(brute_force(net, x, frames, radius, True)).T for radius in radii]
    assert np.array_equal(seen.numpy(), np.array(expected, dtype=float))
    assert seen.sum() > 500


def test_the_probe_is_the_mean_of_brute_force() -> None:
    net, x = mlp(12, 20, 2), points(30, 12)
    key = random.fold(random.key(7, "local complexity"), "train")
    view = view_of(net, x, seed=torch.tensor(7))
    for form, frames in {
        "published": shared_frame(key, 5, 12, torch.float64),
        "independent": own_frames(key, torch.arange(30), 5, 12, torch.float64),
    }.items():
        counts = np.array(brute_force(net, x, frames, 0.3, False))
        seen = value("local_complexity", view, form=form, vertices=10, radius="0.3")
        total = counts.sum(1)
        assert np.allclose(seen["local_complexity"], counts.mean(0), rtol=1e-12)
        assert np.isclose(seen["local_complexity_total"], total.mean(), rtol=1e-12)
        assert np.isclose(seen["local_complexity_error"], total.std(ddof=1) / math.sqrt(30), rtol=1e-12)


def distances(net: MLP, x: Tensor) -> np.ndarray[Any, Any]:
    """Of points to the zero sets of the first layer's units."""
    layer = net.layer[0]
    assert isinstance(layer, nn.Linear)
    found: np.ndarray[Any, Any] = ((x @ layer.weight.T + layer.bias).abs() / layer.weight.norm(dim=1)).numpy()
    return found


@pytest.mark.parametrize("vertices", [2, 4])
def test_one_layer_in_the_plane_is_geometry(vertices: int) -> None:
    """A line at distance t is cut by +-r v with probability (2 / pi) arccos(t / r); by a random square with
    (4 / pi) arccos(t / r), and surely where t < r / sqrt(2)."""
    net, number, radius = mlp(2, 40, 1), 4000, 0.6
    x = points(1, 2).expand(number, 2)
    ratio = np.minimum(distances(net, x[:1])[0] / radius, 1)
    chance = np.minimum(vertices / math.pi * np.arccos(ratio), 1)
    seen = value("local_complexity", view_of(net, x), vertices=vertices, radius=radius, samples=number)
    # The lines are cut together by one direction: the variance of the count is not the sum of theirs.
    tolerance = 4 * float(seen["local_complexity_error"])
    assert abs(seen["local_complexity_total"] - chance.sum()) < tolerance
    assert tolerance < 0.4 < chance.sum()


def test_the_full_frame_in_one_dimension_counts_zeros_within_r() -> None:
    net, x = mlp(1, 50, 1), points(20, 1)
    for radius in (0.1, 0.7):
        expected = (distances(net, x) < radius).sum(1).mean()
        seen = value("local_complexity", view_of(net, x), vertices=2, radius=radius)
        assert seen["local_complexity_total"] == expected


def test_in_the_plane_a_cut_unit_has_a_zero_on_a_fine_grid() -> None:
    """Units of deep layers too: never one too many; of the first layer none too few."""
    net, x, radius = mlp(2, 10, 3), points(25, 2), 0.3
    frames = own_frames(KEY, torch.arange(25), 2, 2, torch.float64)
    space = space_of(view_of(net, x), "train", 25)
    counts = hull_counts(
        space,
        lambda first, last: frames[first:last],
        vertices=4,
        radii=(radius,),
        layers=space.look.layers(False),
    )
    along = torch.linspace(-1, 1, 201, dtype=torch.float64)
    a, b = (radius * grid.flatten() for grid in torch.meshgrid(along, along, indexing="ij"))
    inside = a.abs() + b.abs() <= radius * (1 + 1e-9)
    for number in range(25):
        v, w = frames[number]
        h = x[number] + a[inside, None] * v + b[inside, None] * w
        truth = []
        for layer in net.layer:
            assert isinstance(layer, nn.Linear)
            z = nn.functional.linear(h, layer.weight, layer.bias)
            truth.append(int(((z > 0).any(0) & (z < 0).any(0)).sum()))
            h = z.relu()
        seen = counts[0, :, number].tolist()
        assert seen[0] == truth[0]
        assert all(mine <= whole for mine, whole in zip(seen, truth, strict=True))
    assert counts[0, 1:].sum() > 20


def test_scaling_a_relu_layer_changes_nothing() -> None:
    net, x = mlp(8, 16, 3), points(40, 8)
    scaled = copy.deepcopy(net)
    with torch.no_grad():
        first, second = scaled.layer[1], scaled.layer[2]
        assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
        first.weight.mul_(8.0)
        first.bias.mul_(8.0)
        second.weight.div_(8.0)
    one, other = (
        value("local_complexity", view_of(each, x), vertices=8, radius="0.2,1", logits=True)
        for each in (net, scaled)
    )
    assert np.array_equal(one["local_complexity"], other["local_complexity"])
    assert one["local_complexity"].sum() > 1


def test_nothing_is_cut_at_no_distance_and_by_a_constant_network() -> None:
    net, x = mlp(8, 16, 3), points(40, 8)
    assert value("local_complexity", view_of(net, x), vertices=8, radius=1e-9)["local_complexity_total"] == 0
    zero = copy.deepcopy(net)
    for parameter in zero.parameters():
        parameter.zero_()
    assert value("local_complexity", view_of(zero, x), vertices=8, radius=9)["local_complexity_total"] == 0


def test_a_linear_network_has_only_its_logits() -> None:
    net, x = mlp(6, 1, 0), points(50, 6)
    frames = shared_frame(random.fold(random.key(0, "local complexity"), "train"), 4, 6, torch.float64)
    reach = (frames[0] @ net.readout.weight.T).abs().amax(0)
    expected = ((x @ net.readout.weight.T + net.readout.bias).abs() < 0.5 * reach).double().sum(1).mean()
    seen = value("local_complexity", view_of(net, x), form="published", vertices=8, radius=0.5, logits="true")
    assert seen["local_complexity_total"] == expected.item() > 0
    with pytest.raises(UserError, match=r"showed no units.*tap\.before.*logits=true"):
        value("local_complexity", view_of(net, x), vertices=8)


@pytest.mark.parametrize("name", ["local_complexity", "segment_density"])
def test_pieces_change_no_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = mlp(10, 16, 2), points(33, 10)
    options = {"vertices": 8, "radius": "0.3,2"} if name == "local_complexity" else {"points": 50}
    whole = value(name, view_of(net, x), **options)
    for most, block in ((1, 1024), (2000, 1024), (2**20, 8)):
        monkeypatch.setattr(space, "BLOCK", block)
        for module in (hull, __import__("epochal.probes.complexity.segment", fromlist=["x"])):
            monkeypatch.setattr(module, "MOST_NUMBERS", most)
        pieces = value(name, view_of(net, x), **options)
        for column in whole:
            assert np.allclose(whole[column], pieces[column], rtol=1e-13, atol=0)


def test_more_samples_keep_the_frames_of_the_first() -> None:
    few, many = (own_frames(KEY, torch.arange(n), 3, 20, torch.float64) for n in (4, 9))
    assert torch.equal(few, many[:4])
    late = own_frames(KEY, torch.arange(4, 9), 3, 20, torch.float64)
    assert torch.equal(late, many[4:])


@pytest.mark.parametrize(("directions", "dimensions"), [(2, 2), (3, 5), (4, 40)])
def test_frames_are_orthonormal_and_point_everywhere(directions: int, dimensions: int) -> None:
    """For uniform frames E[v v^T] = 1 / d, E[v_k^4] = 3 / (d (d + 2)), and E[v^T u] = 0 between examples."""
    frames = own_frames(KEY, torch.arange(4000), directions, dimensions, torch.float64)
    assert torch.allclose(frames @ frames.mT, torch.eye(directions, dtype=torch.float64), atol=1e-6)
    second = torch.einsum("npi,npj->ij", frames, frames) / (4000 * directions)
    wanted = torch.eye(dimensions, dtype=torch.float64) / dimensions
    assert (second - wanted).abs().max() < 5 * (2 / (dimensions * (dimensions + 2) * 4000)) ** 0.5
    fourth, expected = (frames**4).mean().item(), 3 / (dimensions * (dimensions + 2))
    assert abs(fourth / expected - 1) < 0.05
    between = (frames[1:] * frames[:-1]).sum(-1)
    assert between.mean().abs() < 5 / math.sqrt(dimensions * between.numel())


def test_the_error_is_that_of_frames_drawn_again() -> None:
    """At one point only the frames differ: the spread of the total over seeds is what the error says."""
    net, x = mlp(6, 40, 2), points(1, 6).expand(64, 6)
    totals, errors = [], []
    for seed in range(200):
        seen = value(
            "local_complexity", view_of(net, x, seed=torch.tensor(seed)), vertices=4, radius=0.7, samples=64
        )
        totals.append(float(seen["local_complexity_total"]))
        errors.append(float(seen["local_complexity_error"]))
    # 200 draws know a standard deviation to 5%.
    assert 0.8 < np.std(totals, ddof=1) / np.mean(errors) < 1.25


def test_errors_of_layers_are_those_of_other_examples_and_frames() -> None:
    """Over seeds, each with examples and frames of its own, every layer varies as its error says."""
    net, means, errors = mlp(6, 30, 3), [], []
    for seed in range(80):
        view = view_of(net, points(48, 6, seed=100 + seed), seed=torch.tensor(seed))
        seen = value("local_complexity", view, vertices=4, radius="0.3,0.9")
        means.append(seen["local_complexity"])
        errors.append(seen["local_complexity_layer_error"])
    ratio = np.std(means, axis=0, ddof=1) / np.sqrt(np.mean(np.square(errors), axis=0))
    # 80 draws know a standard deviation to 8%, four times that is allowed; six places: layers by radii.
    assert ratio.shape == (6,) and np.abs(ratio - 1).max() < 0.32
    assert np.mean(errors) > 0.05


def test_errors_of_layers_are_those_of_a_bootstrap() -> None:
    net, x = mlp(12, 20, 2), points(40, 12)
    key = random.fold(random.key(0, "local complexity"), "train")
    frames = own_frames(key, torch.arange(40), 5, 12, torch.float64)
    counts = np.array(brute_force(net, x, frames, 0.5, False))
    drawn = np.random.default_rng(0).integers(40, size=(4000, 40))
    # A resample's variance divides by n, an error of the mean by n - 1; 4,000 know a deviation to 1.1%.
    truth = counts[drawn].mean(1).std(0) * math.sqrt(40 / 39)
    seen = value("local_complexity", view_of(net, x), vertices=10, radius=0.5)
    assert np.allclose(seen["local_complexity_layer_error"] / truth, 1, atol=0.05)
    # Layers are cut together: their errors do not add up like independent ones.
    assert seen["local_complexity_error"] > np.linalg.norm(seen["local_complexity_layer_error"])


def test_errors_of_segments_are_those_of_other_segments() -> None:
    net, means, errors = mlp(4, 20, 2), [], []
    for seed in range(50):
        seen = value("segment_density", view_of(net, points(40, 4, seed=500 + seed)), points=20)
        means.append(seen["segment_density"])
        errors.append(seen["segment_density_layer_error"])
    ratio = np.std(means, axis=0, ddof=1) / np.sqrt(np.mean(np.square(errors), axis=0))
    assert ratio.shape == (2,) and np.abs(ratio - 1).max() < 0.4  # 50 draws: 10%


def test_the_first_map_by_the_hull_is_the_network_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = mlp(9, 16, 2), points(20, 9)
    options: dict[str, Any] = {"vertices": 6, "radius": "0.3,2"}
    with_entry = value("local_complexity", view_of(net, x), **options)
    without = value(
        "local_complexity", view_of(lambda rows, tap: net(rows, Tap(watch=tap.watch)), x), **options
    )
    assert np.array_equal(with_entry["local_complexity"], without["local_complexity"])


def test_a_segment_crosses_the_lines_that_part_its_ends() -> None:
    net, x = mlp(5, 40, 1), points(20, 5)
    layer = net.layer[0]
    assert isinstance(layer, nn.Linear)
    is_on = (x @ layer.weight.T + layer.bias) > 0
    crossed = (is_on[::2] != is_on[1::2]).sum(1) / (x[1::2] - x[::2]).norm(dim=1)
    seen = value("segment_density", view_of(net, x), points=2)
    assert np.allclose(seen["segment_density_total"], crossed.mean(), rtol=1e-12)
    assert np.allclose(seen["segment_density_error"], crossed.std() / math.sqrt(10), rtol=1e-12)


def test_a_deep_network_s_segments_are_those_of_a_fine_grid() -> None:
    net, x = mlp(2, 12, 3), points(16, 2)
    fine = value("segment_density", view_of(net, x), points=40_001)["segment_density"]
    usual = value("segment_density", view_of(net, x), points=4001)["segment_density"]
    coarse = value("segment_density", view_of(net, x), points=3)["segment_density"]
    assert np.allclose(fine, usual, rtol=1e-12)
    assert (coarse <= fine).all() and coarse.sum() < fine.sum()


def images(**settings: Any) -> Any:
    """A pack of one on digits."""
    small = {"data": "digits", "max_steps": 2, "threads": 1, "device": "cpu", "batch_size": 16}
    experiment = find_experiment("images")
    return experiment.build(experiment.request({**small, **settings}).members)


def units(program: Any, inputs: Tensor) -> tuple[dict[str, int], Tensor, Tensor]:
    """Units per layer of one example, and the logits with and without a watcher."""
    population = initial_population(program)
    params = program.network.layout.unflatten(population.flat[0])
    buffers = program.network.buffer_layout.unflatten(population.buffers[0])
    seen: dict[str, int] = {}

    def watch(name: str, h: Tensor) -> None:
        seen[name] = seen.get(name, 0) + h[0].numel()

    watched = program.network(params, buffers, inputs, Tap(watch=watch))
    return seen, watched, program.network(params, buffers, inputs)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("model=mlp depth=2 width=7", {"layer.0": 7, "layer.1": 7}),
        ("model=convnet depth=2 width=4", {"stage.0": 4 * 64, "stage.1": 8 * 16}),
        ("model=resmlp depth=2 width=8", {"block.0": 8, "block.1": 8}),
        ("model=resnet18 width=2 norm=batch", None),
        ("model=preact_resnet18 width=2 norm=none", None),
    ],
)
def test_models_of_images_show_their_units(settings: str, expected: dict[str, int] | None) -> None:
    program = images(**dict(word.split("=") for word in settings.split()))
    seen, watched, silent = units(program, torch.rand(3, 1, 8, 8))
    assert torch.equal(watched, silent)
    if expected is None:
        assert len(seen) == (16 if "preact" in settings else 17)
        assert list(seen)[-1] == "layer4.1.second"
    else:
        assert seen == expected


def test_the_published_resnet_has_137216_units() -> None:
    from epochal.models.resnet import PreActivationResNet18

    net = PreActivationResNet18(num_classes=10, width=16, norm="none")
    seen: dict[str, int] = {}
    with torch.no_grad():
        net(torch.rand(1, 3, 32, 32), Tap(watch=lambda name, h: seen.update({name: h.numel()})))
    assert len(seen) == 16 and sum(seen.values()) == 137_216


@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        ({"model": "transformer", "depth": "2"}, ["block.0.mlp", "block.1.mlp"]),
        ({"model": "lstm", "depth": "2"}, ["layer.0", "layer.1"]),
        ({"model": "mlp", "depth": "1", "embedding": "learned"}, ["layer.0"]),
    ],
)
def test_tokens_are_moved_in_their_embedding(settings: dict[str, str], layers: Sequence[str]) -> None:
    program = population_of({**settings, "precision": "float64"})
    population = initial_population(program)
    probe: Any = find("local_complexity")
    near, far = (
        measure(program, population, [probe.configured(probe.options(radius=(radius,), vertices=8))])
        for radius in (1e-9, 1.0)
    )
    assert near["local_complexity"].shape == (1, len(layers))
    assert near["local_complexity_total"][0] == 0 < far["local_complexity_total"][0]


def test_what_cannot_be_moved_is_said() -> None:
    one_hot = population_of({"model": "mlp", "depth": "1"})
    usual = population_of({})
    probe: Any = find("local_complexity")
    with pytest.raises(UserError, match=r"tokens cannot be moved.*give embedding=learned"):
        measure(one_hot, initial_population(one_hot), [probe.configured()])
    with pytest.raises(UserError, match=r"split=random needs inputs that are numbers"):
        measure(usual, initial_population(usual), [probe.configured(probe.options(split="random"))])
    with pytest.raises(UserError, match=r"needs 25 orthogonal directions.*24 dimensions: give vertices=48"):
        measure(usual, initial_population(usual), [probe.configured(probe.options(vertices=50))])
    with pytest.raises(UserError, match="odd number"):
        parse_options(probe.options, {"vertices": "3"}, "local_complexity")
    with pytest.raises(UserError, match="radius"):
        parse_options(probe.options, {"radius": "0.1,-2"}, "local_complexity")


def test_random_points_lie_in_the_range_of_the_data() -> None:
    x = points(40, 3)
    space = space_of(view_of(mlp(3, 4, 1), x), "random", 500)
    found = space.points(0, 500)
    assert space.number == 500 and found.shape == (500, 3)
    assert torch.equal(space.points(123, 130), found[123:130])
    assert found.min() >= x.min() and found.max() <= x.max()
    assert abs(found.mean() - (x.min() + x.max()) / 2) < 0.2


def test_a_foreign_module_shows_what_its_modules_of_non_linearity_get() -> None:
    from epochal.models.adapter import network_of

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)
        )

    network = network_of(make, "torch")
    flat, buffers = network.init(random.key(0, "init"), torch.float64)
    params, x = network.layout.unflatten(flat), points(30, 4)

    def predict(rows: Tensor, tap: Tap) -> Tensor:
        return network(params, network.buffer_layout.unflatten(buffers), rows, tap)

    assert space_of(view_of(predict, x), "train", 30).look.layers(False) == {"1": 6, "3": 5}
    with torch.no_grad():
        seen = value("local_complexity", view_of(predict, x), vertices=4, radius=0.5)
    assert seen["local_complexity_total"] > 0


def test_examples_of_a_split_are_drawn_once() -> None:
    """The same at each step, distinct, larger samples hold smaller ones; all where there are no more."""
    from epochal.engine.view import LiveView

    program = images(model="mlp", width=4)
    population = initial_population(program)
    fields = {name: of[0] for name, of in program.fields.items()}

    def sample(step: int, count: int) -> Tensor:
        view = LiveView(
            program, step=step, flat=population.flat[0], buffers=population.buffers[0],
            initial=population.flat[0], fields=fields,
        )  # fmt: skip
        return view.drawn("train", count).factors["index"]

    assert torch.equal(sample(0, 50), sample(9, 50)) and torch.equal(sample(0, 50)[:20], sample(0, 20))
    assert len(sample(0, 50).unique()) == 50
    assert len(sample(0, 10**6)) == program.task.size("train")
