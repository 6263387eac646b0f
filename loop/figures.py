"""The figures of a run as plain values: what a JSON file holds and a table shows. Pure."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loop.run import Mentoring, Swap
from training.evaluate.figures import Figures
from training.simulation.judging import Character


def model_figures(figures: tuple[Figures, Figures]) -> dict[str, float | None]:
    """One model's figures; mAP at IoU 0.33 unless the name says 50."""
    original, new = figures
    return {
        "original_map": original.map_33,
        "new_map": new.map_33,
        "original_map_50": original.map_50,
        "new_map_50": new.map_50,
        "precision": new.precision,
        "recall": new.recall,
        "false_alarms_per_healthy": new.false_alarms_per_healthy,
        "original_precision": original.precision,
        "original_recall": original.recall,
        "original_false_alarms_per_healthy": original.false_alarms_per_healthy,
        "escapes": new.escapes,
    }


def loop_figures(mentoring: Mentoring, swap: Swap) -> dict[str, Any]:
    """Counts of the frames and of the operator's work."""
    sent = mentoring.count.sent + swap.count.sent
    answered = mentoring.count.answered + swap.count.answered
    return {
        "frames_sent": sent,
        "frames_answered": answered,
        "frames_lost": mentoring.count.lost + swap.count.lost,
        "frames_without_verdict": sum((mentoring.count.no_verdict + swap.count.no_verdict).values()),
        "frames_refused": sum((mentoring.count.refused + swap.count.refused).values()),
        "clicks": mentoring.tally.total,
        "clicks_by_gesture": {gesture.name.lower(): number for gesture, number in mentoring.tally.clicks.items()},
        "clicks_refused": dict(mentoring.tally.refused),
        "operator_seconds": mentoring.tally.seconds,
        "mentoring_frames_judged": mentoring.tally.frames_judged,
        "mentoring_frames_not_kept": mentoring.tally.not_kept,
        "swap": {
            "frames_sent": swap.count.sent,
            "frames_answered": swap.count.answered,
            "frames_lost": swap.count.lost,
            "by_model": dict(swap.count.digests),
            "replies_compared": swap.count.compared,
            "replies_of_a_wrong_model": swap.count.foreign,
            "replies_by_the_old_model_after_the_new": swap.count.went_back,
            "activate_seconds": round(swap.seconds, 3),
        },
    }


def gap_closed(models: Mapping[str, Mapping[str, float | None]]) -> float | None:
    """(candidate - baseline) / (full - baseline) in new-domain mAP; None where full annotation gains nothing."""
    values = [models.get(name, {}).get("new_map") for name in ("baseline", "candidate", "full")]
    if any(value is None for value in values):
        return None
    baseline, candidate, full = (float(value) for value in values if value is not None)
    return (candidate - baseline) / (full - baseline) if full > baseline else None


def mean_of(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of numbers over runs, nested mappings likewise; None where one run has none."""
    merged: dict[str, Any] = {}
    for name, first in seeds[0].items():
        values = [seed.get(name) for seed in seeds]
        if isinstance(first, Mapping):
            merged[name] = mean_of([value if isinstance(value, Mapping) else {} for value in values])
        elif any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
            merged[name] = None
        else:
            merged[name] = float(np.mean([float(value) for value in values if value is not None]))
    return merged


def operator_words(character: Character) -> dict[str, Any]:
    """Who answered, and what his seconds are."""
    pace = character.pace
    return {
        "habit": character.habit.value,
        "error_rate": character.error_rate,
        "indecision": character.indecision,
        "seconds": {"click": pace.click, "tap": pace.tap, "draw": pace.draw, "search": pace.search},
    }


def machine() -> dict[str, Any]:
    """What it ran on, without names."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def digest_of_folder(folder: Path) -> str:
    """ "sha256:..." over the names, sizes and bytes of every file below, in order of their names."""
    state = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        data = path.read_bytes()
        state.update(f"{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode() + data)
    return "sha256:" + state.hexdigest()


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes figures; a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.part")
    staging.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    staging.replace(path)
