"""Random command lines, from the specs' own fields and the grammar of their values."""

from typing import Annotated, Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from epochal.core.values.fields import kind_of
from epochal.core.values.schedule import Schedule
from epochal.core.values.settings import is_union
from epochal.core.values.spec import Spec
from epochal.experiments import catalog
from epochal.report import figures
from epochal.tasks.algorithmic.operation import NAMES, OperationName

Words = st.SearchStrategy[str]

EXPERIMENTS = {name: catalog.find(name) for name in catalog.names()}
NOT_ALONE = {"data", "data_path", "data_checksum", "probes", "probe_every", "device"}
"""Fields whose type allows more than their meaning does."""

ODD = [
    *" |,|::|1:|:1|0:0|5:1|1:2:0|log()|log(1,2)|log(0,1,3)|zip(|log(1,2,1e9)|zip()|nan|inf|1e999".split("|"),
    *"1e-999 0x10 1_000 ² ٣ -0 none None null true -- a=b 1,,2 1,2, 0:1e9 0:0.1:1e-9 {} [1] 🙂".split(),
    *["", "9" * 50, "\x00", "\n", "-inf", "-9:0", "-90:0", "0:5000", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"],
]
nonsense = st.one_of(st.text(max_size=12), st.sampled_from(ODD))


def scalar_texts(kind: Any, limits: tuple[Any, ...] = ()) -> Words:
    """Texts of one value that a type takes, inside its limits."""
    if get_origin(kind) is Annotated:
        inner, *limits_of_kind = get_args(kind)
        return scalar_texts(inner, tuple(limits_of_kind))
    if is_union(kind):
        return st.one_of([scalar_texts(one, limits) for one in get_args(kind)])
    if get_origin(kind) is Literal:
        return st.sampled_from([str(choice) for choice in get_args(kind)])
    if kind in (int, float):
        return numbers(kind, limits)
    if kind is bool:
        return st.sampled_from(["true", "false"])
    if kind is type(None):
        return st.just("none")
    if kind is Schedule:
        every, decade = st.integers(1, 500).map(str), st.integers(1, 30).map("log:{}".format)
        return st.one_of(every, decade, st.builds("{}+{}".format, every, decade))
    if any(isinstance(limit, OperationName) for limit in limits):
        return operations
    return st.from_regex(r"[a-z]{1,6}", fullmatch=True)


def formulas() -> Words:
    """Sums, products, quotients and choices of two operands."""
    power = st.builds("{}^{}".format, st.sampled_from("ab"), st.integers(0, 9))
    term = st.one_of(st.sampled_from(["a", "b", "ab", "3a", "(a-b)", "a/b", "7"]), power)
    total = st.builds("{}{}{}".format, term, st.sampled_from([*"+-*", " + "]), term)
    choice = st.builds(
        "{} if b {} else {}".format, total, st.sampled_from(["odd", "even"]), term.map(lambda t: f"{t}+b")
    )
    return st.one_of(total, choice)


operations = st.one_of(st.sampled_from(NAMES), formulas())


def numbers(kind: Any, limits: tuple[Any, ...]) -> Words:
    low = max([getattr(x, side) for x in limits for side in ("ge", "gt") if hasattr(x, side)], default=-1e6)
    high = min([getattr(x, side) for x in limits for side in ("le", "lt") if hasattr(x, side)], default=1e6)
    if kind is int:
        return st.integers(int(low), min(int(high), int(low) + 300)).map(str)
    inner = st.floats(low, min(high, low + 1e3), exclude_min=True, exclude_max=True, allow_subnormal=False)
    return inner.map(lambda value: f"{value:.6g}")


def value_texts(spec_class: type[Spec], name: str) -> Words:
    """One value of a field; where it may vary also lists, ranges and log spacing, right for its type."""
    field = spec_class.model_fields[name]
    one = scalar_texts(field.annotation, tuple(field.metadata))
    if kind_of(field) in ("observe", "execute") or name in ("max_steps", "epochs", "data"):
        return one
    several = st.lists(one, min_size=1, max_size=3, unique=True).map(",".join)
    start = st.integers(0, 90)
    whole = st.builds(lambda a, n, s: f"{a}:{a + n * s}:{s}", start, st.integers(1, 3), st.integers(1, 9))
    short = st.builds(lambda a, n: f"{a}:{a + n}", start, st.integers(1, 3))
    fraction = st.sampled_from(["0.1:0.4:0.1", "0.25:1:0.25", "log(1e-4,1e-2,3)", "log(0.1,0.9,2)"])
    kinds = str(field.annotation)
    ranges = [whole, short] if "int" in kinds else [fraction] if "float" in kinds else []
    return st.one_of(one, several, *ranges)


def misspelt(name: str) -> Words:
    """A name with one letter dropped, doubled or exchanged with the next."""
    at = st.integers(0, max(0, len(name) - 2))
    return at.flatmap(
        lambda i: st.sampled_from(
            [
                name[:i] + name[i + 1 :],
                name[:i] + name[i : i + 1] + name[i:],
                name[:i] + name[i : i + 2][::-1] + name[i + 2 :],
            ]
        )
    )


def field_words(spec_class: type[Spec], *, mostly_right: bool) -> Words:
    """``FIELD=VALUE`` of a spec: right ones, wrong values, misspelt and dotted names, paired lists."""
    names = sorted(spec_class.model_fields)
    right = st.sampled_from([n for n in names if not (mostly_right and n in NOT_ALONE)]).flatmap(
        lambda name: value_texts(spec_class, name).map(lambda value: f"{name}={value}")
    )
    if mostly_right:
        return right
    any_name = st.sampled_from(names)
    wrong = st.builds("{}={}".format, any_name, nonsense)
    typo = st.builds("{}={}".format, any_name.flatmap(misspelt), nonsense)
    dotted = st.builds(
        "{}={}".format,
        st.sampled_from(
            ["probe_every.loss", "probe_every.nothing", "data.kind", "data.path", "seed.kind", "a.b"]
        ),
        nonsense,
    )
    paired = st.builds(
        lambda a, b, x, y, end: f"zip({a}={x},{b}={y}{end}",
        any_name,
        any_name,
        st.one_of(nonsense, st.just("1,2")),
        st.one_of(nonsense, st.just("0.5,0.25")),
        st.sampled_from([")", ")", "", "))"]),
    )
    return st.one_of(right, right, wrong, typo, dotted, paired, nonsense)


experiments = st.sampled_from(sorted(EXPERIMENTS))


@st.composite
def run_commands(draw: st.DrawFn) -> list[str]:
    """``run EXPERIMENT WORD...``: anything."""
    name = draw(experiments)
    words = draw(st.lists(field_words(EXPERIMENTS[name].spec_class, mostly_right=False), max_size=5))
    presets = [f"preset={preset}" for preset in EXPERIMENTS[name].presets] + ["preset=dmeo", "preset="]
    words += draw(st.lists(st.sampled_from(presets), max_size=1))
    words += draw(st.lists(st.sampled_from(OPTIONS), max_size=1))
    given = draw(st.one_of(st.just(name), st.just(name), misspelt(name), nonsense))
    return ["run", given, *draw(st.permutations(words))]


OPTIONS = [
    "--plan",
    "--again",
    "--json",
    "--help",
    "-h",
    "--seed",
    "--runs",
    "--nothing",
    "-x",
    "--",
    "--plan=1",
]


@st.composite
def good_commands(draw: st.DrawFn) -> list[str]:
    """``run EXPERIMENT FIELD=VALUE...`` of different fields with values of their types."""
    name = draw(experiments)
    words = draw(
        st.lists(
            field_words(EXPERIMENTS[name].spec_class, mostly_right=True),
            max_size=4,
            unique_by=lambda word: word.partition("=")[0],
        )
    )
    return ["run", name, *words]


def looking_commands(run_names: list[str]) -> st.SearchStrategy[list[str]]:
    """Commands that look at what there is: show, ls, report, data, figure, demo."""
    run = st.one_of(st.sampled_from([*run_names, "synth", "nothing"]), nonsense)
    every_field = sorted({field for e in EXPERIMENTS.values() for field in e.spec_class.model_fields})
    wanted = st.builds("{}={}".format, st.sampled_from([*every_field, "experiment", "nope"]), nonsense)
    an_option = st.sampled_from(["--json", "--help", "--nope", "--outcome", "--list", "--runs"])
    sets = st.one_of(st.sampled_from(["digits", "mnist", "cifar10", "cifra10"]), nonsense)
    return st.one_of(
        words_of(
            st.just("show"), st.one_of(experiments, run), st.one_of(st.just("demo"), nonsense, an_option)
        ),
        words_of(st.just("ls"), st.one_of(wanted, run), wanted, st.one_of(wanted, an_option)),
        st.builds(lambda word: ["ls", "--outcome", word], st.one_of(st.sampled_from(["finished"]), nonsense)),
        words_of(st.just("report"), run, st.one_of(run, an_option)),
        words_of(st.just("data"), st.sampled_from(["list", "where", "verify", "lits"]), sets, an_option),
        figure_commands(run),
        words_of(st.one_of(st.sampled_from(["demo", "ls", "tarin"]), nonsense), an_option),
    )


def figure_commands(run: Words) -> st.SearchStrategy[list[str]]:
    options = sorted(
        {option for name in figures.names() for option in figures.find(name).options.model_fields}
    )
    some = "auto none log linear category weight_decay operation seed val_loss class generalisation delay"
    some += " best last 0.5 2 val_accuracy,train_accuracy run"
    value = st.one_of(st.sampled_from(some.split()), nonsense)
    setting = st.builds("{}={}".format, st.sampled_from([*options, "nope"]), value)
    sizes = st.builds(
        lambda option, value: f"{option}={value}",
        st.sampled_from(["--width", "--font", "--formats", "--nope"]),
        st.one_of(st.sampled_from(["3.25in", "8cm", "2mm", "8", "svg", "svg,pdf"]), nonsense),
    )
    name = st.one_of(st.sampled_from(figures.names()), st.sampled_from(figures.names()), nonsense)
    return words_of(st.just("figure"), name, run, setting, setting, sizes)


def words_of(*parts: Words) -> st.SearchStrategy[list[str]]:
    """The first word, and any number of the others from the left."""
    return st.integers(1, len(parts)).flatmap(lambda n: st.tuples(*parts[:n])).map(list)
