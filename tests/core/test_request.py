"""Requests: populations, identities, names, and every error at once."""

from typing import Any

import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.request import Request, resolve
from epochal.core.values.spec import Spec

PRESETS = {"strong": {"weight_decay": 1.0, "seed": "0:3"}}


def ask(preset: str | None = None, **settings: Any) -> Request:
    return resolve("toy", Spec, settings, preset=preset, presets=PRESETS)


def test_axes_multiply_with_seeds_fastest() -> None:
    request = ask(weight_decay="0.1,1", seed="0:3")
    assert [(m.weight_decay, m.seed) for m in request.members] == [
        (w, s) for w in (0.1, 1.0) for s in (0, 1, 2)
    ]
    assert request.varied == ("weight_decay", "seed")


def test_zip_pairs() -> None:
    request = ask(zip="zip(learning_rate=1e-3,1e-4,weight_decay=0,1)", seed="0:2")
    assert [(m.learning_rate, m.weight_decay, m.seed) for m in request.members] == [
        (1e-3, 0.0, 0), (1e-3, 0.0, 1), (1e-4, 1.0, 0), (1e-4, 1.0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "twin",
    [
        {"seed": range(5), "weight_decay": [0.1, 1]},
        {"weight_decay": "1e-1,1.0", "seed": "0,1,2,3,4"},
        {"seed": "0:5", "weight_decay": "0.1,1", "device": "cpu", "threads": 1},
    ],
)
def test_the_same_request_is_the_same_run_however_it_is_spelt(twin: dict[str, Any]) -> None:
    request = ask(seed="0:5", weight_decay="0.1,1")
    assert ask(**twin).run_id == request.run_id
    assert ask(**twin).member_ids == request.member_ids


def test_identity_depends_on_what_trains_and_on_nothing_else() -> None:
    plain = ask()
    assert ask(max_steps=50).member_ids == plain.member_ids
    assert ask(record_every="7").member_ids == plain.member_ids
    assert ask(init_seed=0).member_ids == plain.member_ids, "a stream's seed that says what seed says"
    assert ask(max_steps=50).run_id != plain.run_id
    assert ask(record_every="7").run_id != plain.run_id
    changed: dict[str, Any] = {
        "init_seed": 1,
        "seed": 1,
        "learning_rate": 0.1,
        "batch_size": 3,
        "precision": "float64",
    }
    ids = {ask(**{name: value}).member_ids for name, value in changed.items()}
    assert len(ids) == len(changed) and plain.member_ids not in ids


def test_a_preset_gives_way_to_what_is_set() -> None:
    request = ask("strong", weight_decay="0.5")
    assert [(m.weight_decay, m.seed) for m in request.members] == [(0.5, 0), (0.5, 1), (0.5, 2)]
    assert request.command == "epochal run toy preset=strong weight_decay=0.5"


def test_the_command_makes_the_same_request() -> None:
    request = ask(
        zip="zip(learning_rate=1e-3,1e-4,beta1=0,0.5)", seed=range(4), record_every="50+log:3", probes="loss"
    )
    words = request.command.removeprefix("epochal run toy ").replace("'", "").split(" ")
    settings = {
        f"zip{k}" if word.startswith("zip(") else word.partition("=")[0]: word for k, word in enumerate(words)
    }
    parsed = {k: v if k.startswith("zip") else v.partition("=")[2] for k, v in settings.items()}
    assert ask(**parsed).run_id == request.run_id


def test_names_are_readable_and_short() -> None:
    assert (
        ask(seed="0:3", weight_decay=0.5).name
        == f"toy-weight_decay_0.5-seed_0to3-{ask(seed='0:3', weight_decay=0.5).run_id[:8]}"
    )
    assert len(ask(weight_decay=",".join(str(k / 7) for k in range(100))).name) <= 90


USUAL = ("loss", "accuracy", "weight_norm", "gradient_norm")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("loss,rank", ("loss", "rank")),
        ("+rank", (*USUAL, "rank")),
        ("-loss,+rank,+rank@wide", (*USUAL[1:], "rank", "rank@wide")),
        (["+rank", "-accuracy"], ("loss", "weight_norm", "gradient_norm", "rank")),
        ("+loss", USUAL),
        ("", ()),
    ],
)
def test_probes_are_a_list_or_changes_to_the_usual_one(given: object, expected: tuple[str, ...]) -> None:
    request = ask(probes=given)
    assert request.spec.probes == expected
    assert ask(probes=",".join(expected)).run_id == request.run_id


def test_probes_change_the_list_of_a_preset_and_keep_its_schedules() -> None:
    presets = {"few": {"probes": "loss,rank", "probe_every.rank": "7", "probe_every.loss": "3"}}
    changed = resolve("toy", Spec, {"probes": "+norm,-loss"}, preset="few", presets=presets)
    assert changed.spec.probes == ("rank", "norm")
    assert {name: str(every) for name, every in changed.spec.probe_every.items()} == {"rank": "7"}
    spelt = resolve("toy", Spec, {"probes": "rank,norm"}, preset="few", presets=presets)
    assert spelt.run_id == changed.run_id and "probes=rank,norm" in changed.command


def test_options_of_probes_are_part_of_the_run_and_of_no_member() -> None:
    plain, set_ = ask(), ask(**{"probe_options.loss.power": "2"})
    assert set_.run_id != plain.run_id and set_.member_ids == plain.member_ids
    assert set_.spec.options_of("loss") == {"power": "2"}
    assert "probe_options.loss.power=2" in set_.command


def test_mapping_fields_take_one_entry_at_a_time() -> None:
    spec = ask(**{"probe_every.loss": "50", "probe_every.accuracy": "log:3"}).spec
    assert {name: str(schedule) for name, schedule in spec.probe_every.items()} == {
        "loss": "50",
        "accuracy": "log:3",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": "3"}, "unknown field seeds: did you mean 'seed'"),
        ({"learning_rate": "fast"}, "learning_rate=fast is not allowed: learning_rate is a number > 0"),
        ({"learning_rate": "nan"}, "learning_rate=nan is not allowed"),
        ({"beta2": "98"}, "beta2=98 is not allowed: beta2 is a number >= 0 and < 1: did you mean 0.98?"),
        (
            {"optimizer": "rmspop"},
            "optimizer=rmspop is not allowed: choose adam or adamw",
        ),
        (
            {"batch_size": "0"},
            "batch_size=0 is not allowed: batch_size is a whole number >= 1 or a number > 0 and < 1 or full",
        ),
        ({"record_every": "often"}, "record_every=often must be a whole number of steps"),
        ({"max_steps": "1,2"}, "max_steps takes one value for the whole run"),
        ({"device": "gpu"}, "device=gpu is not one of auto, cpu, cuda, cuda:K"),
        ({"seed": "1,1"}, "members 0 and 1 are the same network"),
        ({"seed": "5:0"}, "seed=5:0 is an empty range"),
        ({"seed": []}, "seed is an empty list"),
        ({"seed": "-1"}, "seed=-1 is not allowed"),
        ({"weight_decay": "log(0,1,3)"}, "needs log(low,high,count)"),
        (
            {"zip": "zip(beta1=0,0.5,seed=1,2,3)"},
            "zip pairs lists of the same length, but beta1 has 2, seed has 3",
        ),
        ({"zip": "zip(beta1=0,0.5,seed=1,2)", "seed": "4"}, "seed is set twice"),
        ({"probe_every.loss": "x"}, "log:20"),
        ({"probe_every.rank": "5"}, "probe_every.rank schedules a probe that probes=loss,accuracy"),
        ({"probe_every.accurcy": "5"}, "did you mean 'accuracy'"),
        ({"probe_options.los.x": "5"}, "probe_options.los.x is of a probe that probes=loss,accuracy"),
        ({"probe_options.loss": "5"}, "probe_options.loss needs an option"),
        ({"probes": "a,a"}, "probes names a twice; a label tells them apart: a@LABEL"),
        ({"probes": "a@x,a@x"}, "probes names a@x twice"),
        ({"probes": "a b"}, "probes has 'a b'; a probe is NAME"),
        ({"probes": "a@x-y"}, "a label has letters, digits and _"),
        ({"probes": "+a,b"}, "mixes a list with changes to one"),
        ({"probes": "-a"}, "probes=-a takes away what is not there"),
        ({"rule": "backprob"}, "./FILE.py:NAME: did you mean 'backprop'?"),
        ({"rule": "a:b"}, "rule=a:b is not allowed"),
        ({"seed": "0:1000", "weight_decay": "0:1:0.001"}, "1000000 members, more than 100000"),
    ],
)
def test_bad_settings_get_one_clear_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        ask(**settings)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        ask(learning_rate="fast", beta1="2", max_steps="0")
    lines = str(error.value).splitlines()
    assert [line.partition("=")[0] for line in lines] == ["learning_rate", "beta1", "max_steps"]


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="preset=strnog is unknown to toy: did you mean 'strong'"):
        ask("strnog")


def test_whole_numbers_may_be_written_with_an_exponent() -> None:
    assert ask(max_steps="1e5").spec.max_steps == 100_000
    with pytest.raises(UserError, match="max_steps=1e-3 is not allowed"):
        ask(max_steps="1e-3")
