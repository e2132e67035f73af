"""Every kind of token task trains; what identifies it; which fields go together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from epochal import api
from epochal.core.values.errors import UserError
from epochal.core.values.request import Request
from epochal.core.values.spec import Spec
from epochal.engine.observe import measure
from epochal.engine.population import initial_population
from epochal.experiments.catalog import find
from tests.engine.programs import SMALL, built, records, same_bits, trained

KINDS: dict[str, dict[str, Any]] = {
    "formula": {"operation": "x^3+xy^2+y", "tokens": "infix"},
    "mixed": {"operation": "mix1", "vocabulary": "openai", "classes": "vocabulary"},
    "permutations": {"operation": "s5conj", "n_train": 300, "n_val": 100},
    "five operands": {"num_operands": 5, "modulus": 31, "n_train": 300, "n_val": 100},
    "limited operand": {"operand_fraction": 0.5},
    "noisy": {"label_noise": "0.1,0.5"},
    "sort": {"operation": "sort", "modulus": 5, "num_operands": 3},
    "reverse": {"operation": "reverse", "tokens": "equation"},
    "copy": {"operation": "copy", "tokens": "operands", "answer": "result_and_end"},
    "parity": {"operation": "parity", "num_operands": 40, "n_train": 60, "n_val": 40},
    "openai/grok": {
        "tokens": "equation", "answer": "result_and_end", "vocabulary": "openai", "classes": "vocabulary",
        "batch_size": 20,
    },
}  # fmt: skip


def program(**settings: Any) -> Any:
    return built("algorithmic", SMALL | {"max_steps": 20, "record_every": 20, "seed": "0:2"} | settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains(kind: str) -> None:
    settings = KINDS[kind]
    experiment = find("algorithmic")
    request = experiment.request(
        SMALL
        | {"max_steps": 20, "record_every": 20, "seed": "0:2", "probes": "loss,accuracy,margin"}
        | settings
    )
    assert len({member.pack_key() for member in request.members}) == 1
    population, moments = trained(experiment.build(request.members))
    losses = records(moments, "train_loss")
    assert population.is_alive.all() and (losses[-1] < losses[0]).all()
    assert (records(moments, "val_accuracy") <= 1).all()


@pytest.mark.parametrize("kind", ["sort", "openai/grok", "noisy"])
def test_a_member_alone_is_the_member_in_its_pack(kind: str) -> None:
    settings = {**KINDS[kind], "precision": "float64", "label_noise": 0.2}
    pack, _ = trained(program(**settings))
    for seed in range(2):
        alone, _ = trained(program(**{**settings, "seed": seed}))
        torch.testing.assert_close(alone.flat[0], pack.flat[seed], rtol=1e-9, atol=1e-12)


def test_accuracy_margin_and_loss_of_answers_are_those_of_their_logits() -> None:
    """By the definition, example by example."""
    made = program(operation="copy", answer="result_and_end", probes="loss,accuracy,margin", seed=0)
    population = initial_population(made)
    seen = measure(made, population, [probe for probe, _ in made.probes])
    fields = {name: value[0] for name, value in made.fields.items()}
    batch = made.task.batch(made.task.index("val", fields), fields, torch.tensor(0))
    logits = made.network(made.network.layout.unflatten(population.flat[0]), {}, batch.inputs)
    assert logits.shape == (*batch.targets.shape, made.task.num_classes) == (61, 3, 12)
    right, margins, losses = [], [], []
    for rows, answers in zip(logits.double(), batch.targets.tolist(), strict=True):
        each = list(zip(rows, answers, strict=True))
        right.append(all(int(row.argmax()) == answer for row, answer in each))
        wrong = [max(z for c, z in enumerate(row.tolist()) if c != answer) for row, answer in each]
        margins.append(min(float(row[answer]) - w for (row, answer), w in zip(each, wrong, strict=True)))
        losses.append(np.mean([float(torch.logsumexp(row, 0) - row[answer]) for row, answer in each]))
    assert seen["val_accuracy"][0] == np.mean(right)
    assert seen["val_margin_smallest"][0] == pytest.approx(min(margins), rel=1e-5)
    assert seen["val_loss"][0] == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_teacher_shows_no_answer_before_it_is_due() -> None:
    """Logits at a position do not depend on the tokens after it."""
    made = program(operation="copy", num_operands=3, modulus=5, seed=0)
    population = initial_population(made)
    params = made.network.layout.unflatten(population.flat[0])
    prompt = [0, 1, 2, 5]
    seen = made.network(params, {}, torch.tensor([[*prompt, 0, 1], [*prompt, 4, 4], [*prompt, 0, 3]]))
    assert torch.allclose(seen[0, 0], seen[1, 0], atol=1e-6) and torch.allclose(
        seen[0, 1], seen[2, 1], atol=1e-6
    )
    assert not torch.allclose(seen[0, 1], seen[1, 1], atol=1e-4)


def ask(**settings: Any) -> Any:
    return find("algorithmic").request(settings)


def test_fields_at_their_defaults_change_no_identity() -> None:
    assert find("algorithmic").request({}, "demo").name == "algorithmic-demo-8aae4a1d"
    plain = ask()
    for same in (
        {"operation": "a+b"}, {"operation": "x + y"}, {"num_operands": 2}, {"operand_fraction": 1},
        {"tokens": "equals"}, {"label_noise": 0}, {"n_train": "none"},
    ):  # fmt: skip
        assert ask(**same).member_ids == plain.member_ids, same
    assert ask(operation="a+b+c", num_operands=3).run_id == ask(operation="a + b+c").run_id
    assert ask(operation="s5", num_operands=2).run_id == ask(operation="s5").run_id
    assert ask(num_operands=3, train_fraction=1e-3).member_ids != ask(train_fraction=1e-3).member_ids


def test_a_given_setting_has_to_mean_something(tmp_path: Path) -> None:
    def asked(preset: str | None = None, **settings: Any) -> Request:
        return api.request(find("algorithmic"), settings, preset, tmp_path)

    def value(request: Request, field: str) -> object:
        return getattr(request.spec, field)

    for settings, message in (
        ({"operation": "s5", "modulus": 11}, "modulus=11 means nothing beside operation=s5"),
        ({"operation": "parity", "num_operands": 9, "modulus": 2}, "whose operands are bits: leave it out"),
        ({"operation": "s5,s5aba", "modulus": 11}, "modulus=11 means nothing beside operation=s5,"),
        # The same permutations would be trained twice.
        ({"operation": "+,s5", "modulus": "11,13"}, "modulus=11,13 means nothing beside operation=s5"),
        ({"operation": "sort", "relevant_operands": 2}, "it is of operation=parity, leave it out"),
    ):
        with pytest.raises(UserError, match=message):
            asked(**settings)
    # A preset's modulus, one that some members have, and one that the vocabulary counts to.
    assert value(asked("demo", operation="s5"), "modulus") == 47
    assert len(asked(operation="+,s5", modulus=11).members) == 2
    assert len(asked(zip="zip(operation=+,s5,modulus=11,97)").members) == 2
    assert value(asked(operation="s5", modulus=11, vocabulary="openai"), "modulus") == 11
    bits = asked(operation="parity", num_operands=9, relevant_operands=2)
    assert value(bits, "relevant_operands") == 2
    # A stored run that has such a setting can still be gone on with.
    assert value(ask(operation="s5", modulus=11), "modulus") == 11


def test_members_whose_sets_differ_in_size_train_apart() -> None:
    def packs(**settings: Any) -> int:
        return len({member.pack_key() for member in ask(modulus=11, **settings).members})

    assert packs(label_noise="0.1,0.2", seed="0:3") == 1
    assert packs(label_noise="0,0.1") == 2
    assert packs(operand_fraction="0.5,0.9") == 2
    assert packs(operand_fraction="0.5,0.9", n_train=20, n_val=20) == 2


MODELS = """
import torch
from torch import nn
class Once(nn.Module):
    def __init__(self, vocabulary, num_classes):
        super().__init__()
        self.embed, self.readout = nn.Embedding(vocabulary, 8), nn.Linear(8, num_classes)
    def forward(self, tokens): return self.readout(self.embed(tokens).mean(1))
class Each(Once):
    def __init__(self, vocabulary, num_classes, answer_length):
        super().__init__(vocabulary, num_classes)
        self.answer_length = answer_length
    def forward(self, tokens): return self.readout(self.embed(tokens)[:, -self.answer_length:])
"""
OPERATIONS = """
def quadratic(operands, modulus):
    a, b = operands
    return a ** 2 + 3 * b
def negative(operands, modulus): return -operands[0] - operands[1]
def half(operands, modulus): return operands[0] / 2
def third(operands, modulus): return operands[2]
def one(operands, modulus): return operands[0].sum()
number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with models and operations of a user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "own.py").write_text(OPERATIONS)
    return tmp_path


def test_answers_of_several_tokens_need_a_model_that_gives_them(folder: Path) -> None:
    with pytest.raises(
        UserError, match="Once gives one answer per sequence, the task's answers have 2 tokens"
    ):
        program(answer="result_and_end", model="./models.py:Once")
    population, _ = trained(program(answer="result_and_end", model="./models.py:Each"))
    assert population.is_alive.all()


def test_an_operation_of_ones_own_is_the_formula_it_computes(folder: Path) -> None:
    own, formula = program(operation="./own.py:quadratic"), program(operation="a^2+3b")
    assert same_bits(trained(own)[0].flat, trained(formula)[0].flat)
    task = program(operation="./own.py:negative").task
    batch = task.batch(torch.arange(121), {}, torch.tensor(0))
    assert torch.equal(batch.targets, (-batch.factors["a"] - batch.factors["b"]) % 11)
    spec: Spec = ask(operation="./own.py:quadratic").spec
    assert spec.operation.startswith("quadratic#")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("half", "half in ./own.py gives torch.float32 (121,); expected whole numbers (121,)"),
        ("third", "third in ./own.py fails: ./own.py line 7: IndexError"),
        ("one", "one in ./own.py gives torch.int64 (); expected whole numbers (121,)"),
        ("number", "number in ./own.py is no function; operation takes f(operands, modulus)"),
        ("quadartic", "./own.py has no quadartic: did you mean 'quadratic'"),
    ],
)
def test_an_operation_that_does_not_fit_is_told(folder: Path, name: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        trained(program(operation=f"./own.py:{name}", seed=0))
    assert problem in str(error.value) and len(str(error.value).splitlines()) == 1
