"""What a figure of steps against the fraction of data costs: one command, against 39 runs in sequence.

    ./do bench data_fractions                  # some twenty minutes on two cores
    ./do bench data_fractions --steps 1000     # longer runs, in which starting up counts for less
    ./do bench data_fractions --quick          # 3 fractions x 2 seeds, 20 steps: whether it works

``preset=miml`` at 13 fractions of the table, 20% to 80%, with three seeds each: once as one request; as 39
processes of a script in plain PyTorch (``_plain_miml.py``), one per run; and as 39 processes of ours. Wall
times hold all that a user waits for: starting Python, imports, tables, training, evaluation of both sets in
full, the files and reports that ours writes (the plain script writes its curve alone). Everything runs with
the threads that it takes by itself. The three ways are timed in turns; every fraction has one evaluation per
``--steps`` updates, and one at the start, which is denser than in the published run from 230 updates down.
"""

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "data_fractions.md"
SEEDS = 3
FRACTIONS = tuple(round(0.2 + 0.05 * k, 2) for k in range(13))
STEPS = 230
"""As many as the published run has between two evaluations."""
OURS = "from epochal.cli.main import main; main()"


def one_command(fractions: Sequence[float], seeds: int, steps: int, folder: Path) -> list[list[str]]:
    return [ours(",".join(map(str, fractions)), f"0:{seeds}", steps, folder)]


def ours_in_sequence(fractions: Sequence[float], seeds: int, steps: int, folder: Path) -> list[list[str]]:
    return [ours(str(f), str(seed), steps, folder) for f, seed in itertools.product(fractions, range(seeds))]


def plain_in_sequence(fractions: Sequence[float], seeds: int, steps: int, folder: Path) -> list[list[str]]:
    script = str(Path(__file__).with_name("_plain_miml.py"))
    return [
        [sys.executable, script, str(f), str(seed), str(steps), str(folder / f"plain-{f}-{seed}.jsonl")]
        for f, seed in itertools.product(fractions, range(seeds))
    ]


WAYS: dict[str, Callable[[Sequence[float], int, int, Path], list[list[str]]]] = {
    "one command": one_command,
    "plain PyTorch, one process per run": plain_in_sequence,
    "ours, one process per run": ours_in_sequence,
}


def ours(fractions: str, seeds: str, steps: int, folder: Path) -> list[str]:
    """`epochal run` by the interpreter that runs this."""
    settings = [f"train_fraction={fractions}", f"seed={seeds}", f"max_steps={steps}", f"record_every={steps}"]
    return [sys.executable, "-c", OURS, "run", "algorithmic", "preset=miml", *settings, "--runs", str(folder)]


def seconds_of(commands: Sequence[Sequence[str]]) -> float:
    """From the first start to the last end; what they print is shown if one fails."""
    begin = time.perf_counter()
    for command in commands:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 fractions x 2 seeds, 20 steps; no file")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"updates of each run; default {STEPS}")
    parser.add_argument("--turns", type=int, default=2, help="of the three ways; default 2")
    parser.add_argument("--without-ours", action="store_true", help="leave out our own runs in sequence")
    options = parser.parse_args()
    fractions, seeds, steps, turns = FRACTIONS, SEEDS, options.steps, options.turns
    if options.quick:
        fractions, seeds, steps, turns = (0.2, 0.5, 0.8), 2, 20, 1
    ways = {name: way for name, way in WAYS.items() if not (options.without_ours and name.startswith("ours"))}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn, (name, way) in itertools.product(range(turns), ways.items()):
        with tempfile.TemporaryDirectory() as folder:  # a run that is there would not be trained again
            seconds[name].append(seconds_of(way(fractions, seeds, steps, Path(folder))))
        print(f"turn {turn + 1}: {name}: {seconds[name][-1]:.0f} s", flush=True)
    lines = report(seconds, fractions, seeds, steps)
    print("\n".join(lines))
    if not options.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n")


def report(seconds: dict[str, list[float]], fractions: Sequence[float], seeds: int, steps: int) -> list[str]:
    """Medians over the turns with their range; ratios are of the same turn."""
    import torch  # 39 processes load it, this one only for its version

    from epochal.launch.environment import describe

    place = describe(torch.device("cpu"), torch.get_num_threads())
    runs, turns = len(fractions) * seeds, len(seconds["one command"])
    in_turns = "one turn" if turns == 1 else f"{turns} turns, medians with their range"
    command = f"epochal run algorithmic preset=miml train_fraction={fractions[0]}, ..., {fractions[-1]}"
    lines = [
        "# A figure over fractions of data",
        "",
        (
            f"{place['hardware']}, {os.cpu_count()} cores, torch {place['torch']}, Python "
            f"{platform.python_version()}; {len(fractions)} fractions x {seeds} seeds, {steps} updates each: "
            f"`{command} seed=0:{seeds} max_steps={steps}` against {runs} runs one after the other. Wall "
            f"times with start-up and evaluation; {in_turns}."
        ),
        "",
        "| | wall time | per run | times the one command |",
        "|---|---|---|---|",
    ]
    for name, turns_of in seconds.items():
        ratios = [own / one for own, one in zip(turns_of, seconds["one command"], strict=True)]
        lines.append(
            f"| {name} | {spread(turns_of, '.0f')} s | {statistics.median(turns_of) / runs:.1f} s | "
            f"{spread(ratios, '.2f')} |"
        )
    return lines


def spread(values: Sequence[float], digits: str) -> str:
    return f"**{statistics.median(values):{digits}}** ({min(values):{digits}} to {max(values):{digits}})"


if __name__ == "__main__":
    main()
