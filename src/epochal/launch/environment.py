"""What a run was made with: versions, commit, hardware."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import epochal


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Versions, commit, hardware, threads, UTC start; numbers of the run are added by who knows them."""
    return {
        "epochal": epochal.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "commit": source_commit(),
        "system": f"{platform.system()} {platform.release()}",
        "hardware": _hardware(device),
        "cores": os.cpu_count(),
        "memory_gigabytes": _memory_gigabytes(),
        "device": str(device),
        "threads": threads,
        "started_utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def source_commit() -> str | None:
    """Commit of the source tree that epochal runs from, with ``+`` for local changes; None if installed."""
    folder = Path(__file__).resolve().parent
    git = ["git", "-C", str(folder)]
    try:
        tracked = subprocess.run(
            [*git, "ls-files", "--error-unmatch", __file__], check=False, capture_output=True, timeout=10
        )
        if tracked.returncode:
            return None
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], check=False, capture_output=True, text=True, timeout=10
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "-uno", "."], check=False, capture_output=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if changes.stdout else "") if head.returncode == 0 else None


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_gigabytes() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (OSError, ValueError, AttributeError):
        return None
