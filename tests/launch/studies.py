"""A tiny study as a file of one's own, whose verdict follows from numbers that are written into it."""

from pathlib import Path
from string import Template

from epochal import api
from epochal.core.values.request import Request
from epochal.experiments.catalog import Experiment
from epochal.launch.execute import execute
from epochal.launch.studies.conduct import Conducted, conduct
from epochal.launch.studies.plan import StudyPlan
from epochal.launch.studies.resolve import resolve
from epochal.launch.watching.listener import Listener, Silent
from epochal.store.run import Run, load
from epochal.studies import find

TEXT = Template('''
from epochal import Arm, DeclaredLooks, Detector, Finding, Study

def analyse(runs):
    """The p of a look is a function of how many runs it has, so that tests can place it."""
    found = []
    for role, arm in runs.arms.items():
        p = ($p)[len(arm)]
        finding = Finding(
            claim=f"{role} learns", test="given", estimate=float(len(arm)), num_runs=len(arm), null="n",
            p=p, margin=runs.margin("gap"), verdict="supported" if p <= 0.05 else "undecided")
        found.append(runs.cited(finding, role))
    return found[:$num_findings]

def arm(learning_rate, weight_decay=1e-3):
    return Arm(experiment="algorithmic", settings={
        "modulus": 7, "width": 8, "heads": 2, "max_steps": 12, "record_every": 4, "threads": 1,
        "learning_rate": learning_rate, "weight_decay": weight_decay, "seed": "$seeds"},
        quick={"seed": "20:22"})

tiny = Study(
    question="Does it learn?", prediction="It does.", refutation="It does not.",
    arms={"slow": arm(1e-3), "fast": arm($fast)},
    detectors={
        "memorised": Detector(column="train_accuracy", kind="passage", options={"threshold": $threshold})},
    margins={"gap": $gap},
    looks=$looks,
    analyse=analyse,
)
''')
USUAL = {
    "p": "{2: 0.001, 4: 0.001, 6: 0.001}",
    "num_findings": "2",
    "seeds": "0:4",
    "fast": "1e-2",
    "threshold": "0.5",
    "gap": "3.0",
    "looks": "None",
}


def write(folder: Path, **changes: str) -> str:
    """The file in the folder, and what names its study."""
    (folder / "own.py").write_text(TEXT.substitute(USUAL | changes))
    return f"{folder / 'own.py'}:tiny"


def planned(folder: Path, **changes: str) -> StudyPlan:
    return resolve(find(write(folder, **changes)))


def conducted(
    plan: StudyPlan,
    folder: Path,
    listener: Listener | None = None,
    *,
    look: int | None = None,
    again: bool = False,
    with_pages: bool = False,
) -> Conducted:
    """Conducts it into ``folder/studies`` and ``folder/runs``; pages take most of the time."""
    listener, runs = listener or Silent(), folder / "runs"
    if with_pages:
        return api.conduct(plan, runs, folder / "studies", listener, look=look, again=again)

    def train(experiment: Experiment, request: Request, path: Path) -> Run:
        execute(experiment, request, path, listener)
        return load(path)

    return conduct(
        plan,
        folder / "studies",
        runs,
        train,
        look=look,
        again=again,
        place_of=lambda request, fresh: api.place(request, runs, again=fresh),
    )
