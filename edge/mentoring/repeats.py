"""Hidden repeats among an operator's questions: what somebody else has answered, shown as if nobody had.

An answer given in knowledge of another one tells nothing about agreement, so whoever shows a repeat must not show what
was said of it. The same operator is never asked twice about one detection: that would be a correction, not a repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from edge.mentoring.ask_settings import AskingSettings
from edge.mentoring.draws import draw
from lineside.mentoring_log import MentoringLogReader
from lineside.records import RecordedDetection, RecordedFrame

Item = TypeVar("Item")
Shown = tuple[RecordedFrame, RecordedDetection]


def queue_for(
    reader: MentoringLogReader, operator: str, settings: AskingSettings, *, frames: int, limit: int, seed: int = 0
) -> tuple[list[Shown], int, frozenset[str]]:
    """What an operator is shown next.

    Args:
        reader: of the log.
        operator: who is asked.
        settings: how many repeats, and of whose answers.
        frames: how many of the newest frames are looked through.
        limit: most detections.
        seed: of the draws.

    Returns:
        The detections with their frames in the order in which they are shown; how many wait in all, repeats left out;
        the detection ids that are repeats, of which nothing may be told.
    """
    fresh, waiting = reader.undecided(frames=frames, limit=limit)
    if settings.repeat_share == 0:
        return fresh, waiting, frozenset()
    repeats = reader.answered_by_others(operator, frames=frames, limit=limit, by=settings.known_by)

    def name(item: Shown) -> str:
        return item[1].detection_id

    shown = mixed(fresh, repeats, share=settings.repeat_share, seed=seed, operator=operator, name=name)[:limit]
    return shown, waiting, frozenset(name(item) for item in repeats) & frozenset(map(name, shown))


def mixed(
    fresh: Sequence[Item],
    repeats: Sequence[Item],
    *,
    share: float,
    seed: int,
    operator: str,
    name: Callable[[Item], str],
) -> list[Item]:
    """Fresh questions with repeats among them, always at the same places for the same arguments.

    A repeat comes before a fresh question with probability share / (1 - share), drawn by that question's name: a queue
    that grows or shrinks shifts no repeat to another place. Without fresh questions there are none either: nobody is
    given work for its own sake.
    """
    left = list(reversed(repeats))
    result: list[Item] = []
    for item in fresh:
        if left and draw(seed, 0, f"repeat/{operator}", name(item)) < share / (1 - share):
            result.append(left.pop())
        result.append(item)
    return result
