"""Answers of every operation against plain Python; tokens against the original's strings; splits; noise."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sympy.combinatorics import Permutation  # type: ignore[import-untyped]
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from epochal.core.tensors import random
from epochal.tasks.algorithmic import equations as module
from epochal.tasks.algorithmic.tokens import OPENAI
from tests.tasks.made import KEY, equations, fields, spelt, whole_table


def quotient(a: int, b: int, p: int) -> int:
    """By search."""
    return next(c for c in range(p) if c * b % p == a % p)


TRUTHS: dict[str, Callable[[int, int, int], int]] = {
    "+": lambda a, b, p: (a + b) % p,
    "-": lambda a, b, p: (a - b) % p,
    "*": lambda a, b, p: a * b % p,
    "/": quotient,
    "a^2+b": lambda a, b, p: (a * a + b) % p,
    "a^3+b": lambda a, b, p: (a * a * a + b) % p,
    "x^2+y^2": lambda x, y, p: (x * x + y * y) % p,
    "x^2+y^2+xy": lambda x, y, p: (x * x + y * y + x * y) % p,
    "x^2+y^2+xy+x": lambda x, y, p: (x * x + y * y + x * y + x) % p,
    "x^3+xy": lambda x, y, p: (x**3 + x * y) % p,
    "x^3+xy^2+y": lambda x, y, p: (x**3 + x * y * y + y) % p,
    "mix1": lambda x, y, p: quotient(x, y, p) if y % 2 == 1 else (x - y) % p,
    "+*": lambda a, b, p: (a + b) % p if a % 2 == 0 else a * b % p,
    "+-": lambda a, b, p: (a + b) % p if a % 2 == 0 else (a - b) % p,
    "3a^2+b": lambda a, b, p: (3 * a * a + b) % p,
    "a/(2b^2)": lambda a, b, p: quotient(a, 2 * b * b, p),
    "ab^2/b": lambda a, b, p: a * b % p,  # Grokfast's products: b is never 0
}
WITHOUT_ZERO = {"/", "a/(2b^2)", "ab^2/b"}


@pytest.mark.parametrize("operation", TRUTHS)
@pytest.mark.parametrize("modulus", [7, 13])
def test_every_answer(operation: str, modulus: int) -> None:
    batch = whole_table(equations(operation, modulus))
    rows = list(zip(*batch.inputs.T.tolist(), batch.targets.tolist(), strict=True))
    assert [(a, b) for a, b, _, _ in rows] == list(
        itertools.product(range(modulus), range(operation in WITHOUT_ZERO, modulus))
    )
    for a, b, equals, c in rows:
        assert equals == modulus and c == TRUTHS[operation](a, b, modulus)
    assert batch.factors["a"].tolist() == [a for a, _, _, _ in rows]
    assert (batch.weight == 1).all() and not batch.factors["noisy"].any()


@pytest.mark.parametrize(
    ("sign", "fold"),
    [("+", lambda a, b, c: a + b + c), ("-", lambda a, b, c: a - b - c), ("*", lambda a, b, c: a * b * c)],
)
def test_more_operands_are_folded_from_the_left(sign: str, fold: Callable[..., int]) -> None:
    batch = whole_table(equations(sign, 5, num_operands=3))
    assert batch.targets.tolist() == [fold(*abc) % 5 for abc in itertools.product(range(5), repeat=3)]
    assert [batch.factors[name].tolist() for name in "abc"] == batch.inputs.T.tolist()[:3]


PERMUTATIONS = list(itertools.permutations(range(5)))
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "s5": lambda a, b: a * b, "s5conj": lambda a, b: a * b * ~a, "s5aba": lambda a, b: a * b * a,
}  # fmt: skip


@pytest.mark.parametrize("operation", PRODUCTS)
def test_products_of_permutations_are_sympys(operation: str) -> None:
    """Whose product the original uses; its ``s5`` is NumPy's ``b[a]``."""
    batch = whole_table(equations(operation))
    assert len(batch.targets) == 14_400
    for row in range(0, 14_400, 37):
        a, b, c = (PERMUTATIONS[int(x[row])] for x in (batch.factors["a"], batch.factors["b"], batch.targets))
        assert tuple(PRODUCTS[operation](Permutation(a), Permutation(b)).array_form) == c
        if operation == "s5":
            assert tuple(b[i] for i in a) == c
    if operation != "s5aba":  # for every a, conjugation and multiplication are one to one in b
        assert all(len(set(part)) == 120 for part in batch.targets.reshape(120, 120).tolist())


@pytest.mark.parametrize(
    ("operation", "truth"),
    [("sort", sorted), ("reverse", lambda given: given[::-1]), ("copy", lambda given: given)],
)
def test_lists_to_lists(operation: str, truth: Callable[[list[int]], list[int]]) -> None:
    made = equations(operation, 4, num_operands=3)
    batch = whole_table(made)
    lists = [list(given) for given in itertools.product(range(4), repeat=3)]
    assert batch.inputs[:, :3].tolist() == lists
    assert batch.targets.tolist() == [truth(given) for given in lists]
    assert made.form.answer_length == 3 and batch.inputs.shape == (64, 4 + 2)


def test_parity_of_hidden_bits() -> None:
    made = equations("parity", num_operands=6, relevant_operands=3)
    found = set()
    for seed in range(40):
        batch = made.batch(torch.arange(64), fields(seed), KEY)
        bits = batch.inputs[:, :6]
        subsets = [
            subset
            for subset in itertools.combinations(range(6), 3)
            if torch.equal(bits[:, list(subset)].sum(1) % 2, batch.targets)
        ]
        assert len(subsets) == 1
        found |= set(subsets)
    assert len(found) > 12, "of 20 triples, 40 draws miss 2.6 in the mean"


FORMS = [
    ({"tokens": "operands"}, "5 6 | 4"),
    ({}, "5 6 = | 4"),
    ({"tokens": "infix"}, "5 + 6 = | 4"),
    ({"tokens": "equation"}, "<|eos|> 5 + 6 = | 4"),
    ({"tokens": "equation", "answer": "result_and_end"}, "<|eos|> 5 + 6 = | 4 <|eos|>"),
    ({"tokens": "operands", "answer": "result_and_end"}, "5 6 | 4 <|eos|>"),
]


@pytest.mark.parametrize("vocabulary", ["compact", "openai"])
@pytest.mark.parametrize("classes", ["answers", "vocabulary"])
@pytest.mark.parametrize(("settings", "text"), FORMS)
def test_forms_are_the_originals_strings(
    settings: dict[str, str], text: str, vocabulary: str, classes: str
) -> None:
    made = equations("+", 7, vocabulary=vocabulary, classes=classes, **settings)
    batch = whole_table(made)
    assert spelt(made, batch, 5 * 7 + 6) == text
    assert batch.inputs.shape[1] == made.form.sequence_length
    assert int(batch.targets.max()) < made.num_classes <= made.form.vocabulary + 1
    assert made.num_classes == (
        made.form.vocabulary if classes == "vocabulary" else 7 + ("end" in str(settings))
    )


@pytest.mark.parametrize(
    ("operation", "settings", "row", "text"),
    [
        ("+", {"num_operands": 3}, 5 * 49 + 6 * 7 + 1, "<|eos|> 5 + 6 + 1 = | 5 <|eos|>"),
        ("a^2+b", {}, 5 * 7 + 6, "<|eos|> 5 **2+ 6 = | 3 <|eos|>"),
        ("x^3+xy", {}, 5 * 7 + 6, "<|eos|> 5 x**3+x*y_mod_97 6 = | 1 <|eos|>"),
        ("s5", {}, 120 + 2, "<|eos|> 01243 s5 01324 = | 01342 <|eos|>"),
        ("reverse", {"num_operands": 3}, 5 * 49 + 6 * 7 + 1, "<|eos|> reverse 5 6 1 = | 1 6 5 <|eos|>"),
    ],
)
def test_equations_of_the_original(operation: str, settings: dict[str, Any], row: int, text: str) -> None:
    form: dict[str, Any] = {
        "tokens": "equation",
        "answer": "result_and_end",
        "vocabulary": "openai",
        "classes": "vocabulary",
    }
    made = equations(operation, **form, **settings)
    assert spelt(made, whole_table(made), row) == text


def test_the_originals_vocabulary() -> None:
    names = equations("+", 97, vocabulary="openai").form.names
    assert len(names) == len(set(names)) == 142 + 97 == 239
    assert names[:2] == ("<|eos|>", "=") and names[2:22] == tuple(sorted(OPENAI.values()))
    assert names[22:119] == tuple(map(str, range(97)))
    assert names[119:] == tuple("".join(map(str, p)) for p in PERMUTATIONS)


def test_grokfasts_tokens() -> None:
    made = equations("*", 97, tokens="infix", classes="vocabulary")
    assert made.form.prompt == (-1, 98, -2, 97) and made.form.vocabulary == 99


@pytest.mark.parametrize("operation", ["+", "/", "s5"])
def test_below_the_limit_the_order_is_the_sorted_permutation(operation: str) -> None:
    made = equations(operation, 7, train_fraction=0.4)
    order = random.permutation(random.key(3, "split"), made.table_size)
    assert torch.equal(made.index("train", fields()), order[: made.train_size])
    assert torch.equal(made.index("val", fields()), order[made.train_size :])


@pytest.mark.parametrize("limit", [module.LARGEST_SORTED, 100])
def test_splits_partition_nest_and_depend_on_the_split_seed_alone(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_SORTED", limit)
    made = equations("+", 7, num_operands=3, n_train=200)
    train, val = made.index("train", fields()), made.index("val", fields())
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(343))
    assert torch.equal(train, made.index("train", {**fields(), "seed": torch.tensor(9)}))
    assert not torch.equal(train, made.index("train", fields(4)))
    small = equations("+", 7, num_operands=3, n_train=50, n_val=20)
    assert torch.equal(small.index("train", fields()), train[:50])
    assert torch.equal(small.index("val", fields()), val[-20:]), "the same whatever is trained on"


class Largest(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
    """The most elements that any tensor has that is made."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return made


@pytest.mark.parametrize(
    ("operation", "settings", "total"),
    [
        ("+", {"modulus": 31, "num_operands": 5}, 31**5),
        ("a^2+b+c+d", {"modulus": 97}, 97**4),
        ("sort", {"modulus": 97, "num_operands": 5}, 97**5),
        ("parity", {"num_operands": 40}, 2**40),
        ("+", {"modulus": 97, "num_operands": 4, "operand_fraction": 0.5}, 48 * 97**3),
    ],
)
def test_large_tables_are_never_made(operation: str, settings: dict[str, Any], total: int) -> None:
    made = equations(operation, n_train=300, n_val=200, label_noise=0.5, **settings)
    assert made.table_size == total
    given = fields(label_noise=0.5)
    with Largest() as seen:  # type: ignore[no-untyped-call]
        numbers = [made.index(split, given) for split in ("train", "val")]
        batches = [made.batch(index, given, KEY) for index in numbers]
    widest = max(batch.inputs.shape[1] for batch in batches)
    assert seen.elements <= 300 * max(widest, made.form.vocabulary)
    clean = torch.cat([numbers[0] % total, numbers[1]])
    assert len(clean.unique()) == 500 and int(clean.min()) >= 0 and int(clean.max()) < total
    assert (numbers[0] >= total).sum() == 150 == batches[0].factors["noisy"].sum()


@pytest.mark.parametrize(("operation", "elements"), [("+", 41), ("/", 41), ("1/a+b", 40), ("s5", 120)])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_the_first_operand_is_limited_to_a_nested_random_subset(
    operation: str, elements: int, fraction: float
) -> None:
    made = equations(operation, 41, operand_fraction=fraction, train_fraction=0.6)
    first = max(1, int(fraction * elements))
    sets = []
    for seed in range(4):
        batch = made.batch(torch.arange(made.table_size), fields(seed), KEY)
        a, b = batch.factors["a"], batch.factors["b"]
        assert len(a.unique()) == first and made.table_size == first * len(b.unique())
        assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == made.table_size
        if operation in TRUTHS:
            rows = zip(a.tolist(), b.tolist(), strict=True)
            assert batch.targets.tolist() == [TRUTHS[operation](x, y, 41) for x, y in rows]
        if operation == "1/a+b":
            assert a.min() > 0
        sets.append(frozenset(a.tolist()))
        larger = equations(operation, 41, operand_fraction=0.7)
        wider = larger.batch(torch.arange(larger.table_size), fields(seed), KEY)
        assert sets[-1] <= set(wider.factors["a"].tolist())
    assert len(set(sets)) > 1


@pytest.mark.parametrize("operation", ["+", "/", "sort", "s5"])
def test_label_noise_changes_its_share_of_the_training_labels_alone(operation: str) -> None:
    clean, noisy = equations(operation, 31), equations(operation, 31, label_noise=0.3)
    given = fields(label_noise=0.3)
    count = round(0.3 * noisy.train_size)
    index = noisy.index("train", given)
    seen = noisy.batch(index, given, KEY)
    true = clean.batch(clean.index("train", given), given, KEY)
    prompt = slice(0, len(noisy.form.prompt))
    assert torch.equal(seen.inputs[:, prompt], true.inputs[:, prompt])
    is_noisy = seen.factors["noisy"]
    assert is_noisy.sum() == count == (index >= noisy.table_size).sum()
    assert torch.equal(seen.targets[~is_noisy], true.targets[~is_noisy])
    agree = (seen.targets == true.targets)[is_noisy].double().reshape(count, -1).mean(1)
    chance = 1 / (120 if operation == "s5" else 31)
    expected = chance if operation != "sort" else float(agree.mean())
    assert abs(float(agree.mean()) - expected) < 5 * math.sqrt(chance / count)
    assert torch.equal(noisy.index("val", given), clean.index("val", given))
    assert not noisy.batch(noisy.index("val", given), given, KEY).factors["noisy"].any()
    none = fields(label_noise=0.0)
    assert torch.equal(noisy.index("train", none), clean.index("train", none))


def test_noisy_labels_are_those_of_other_equations_uniformly() -> None:
    made = equations("+", 31, label_noise=0.9)
    numbers = torch.arange(made.table_size)
    others = torch.cat([made._another(numbers, fields(seed)) for seed in range(50)])
    assert not (others.reshape(50, -1) == numbers).any()
    counts = torch.bincount(others, minlength=961).double()
    chi_square = float(((counts - 50) ** 2 / 50).sum())
    assert abs(chi_square - 960) < 5 * math.sqrt(2 * 960)


def test_batches_are_the_same_under_vmap() -> None:
    made = equations("/", 5)
    index = torch.tensor([[0, 3, 19], [7, 7, 1]])
    mapped = torch.vmap(lambda i: made.batch(i, fields(), KEY))(index)
    for row in range(2):
        alone = made.batch(index[row], fields(), KEY)
        assert torch.equal(mapped.inputs[row], alone.inputs)
        assert torch.equal(mapped.targets[row], alone.targets)
