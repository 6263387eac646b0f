"""What lies below a model's thresholds: candidates that may be worth a question, never a part of a verdict. Pure.

The same grouping is done twice, at the thresholds and at lower ones. What was raised stays exactly as it was, areas
included; a candidate is what only the lower thresholds find, with the areas that no raised detection speaks about. So a
click on a question teaches nothing about a detection beside it, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lineside.areas import CellGrid, Head
from lineside.boxes import iou
from lineside.decode import Floats, Found, decode_outputs
from lineside.v1 import model_pb2


def candidates_below(
    outputs: Mapping[str, NDArray[np.generic]],
    head: Head,
    raised: Found,
    *,
    thresholds: Floats,
    down_to: float,
    parameters: model_pb2.DecodeParameters,
) -> Found:
    """Candidates with a score from `down_to` up to their class's threshold, highest score first.

    Args:
        outputs: of the graph for one picture, by name, without the batch axis.
        head: of the manifest.
        raised: what was found at the thresholds, boxes in model pixels.
        thresholds: (C,) per class.
        down_to: score, above 0.
        parameters: of the manifest.
    """
    lower = np.minimum(thresholds, np.float32(down_to))
    found = decode_outputs(outputs, head, thresholds=lower, parameters=parameters)
    taken = np.unique(np.concatenate([*raised.areas, np.zeros(0, np.int32)]))
    # An anchor that overlaps a raised detection this much is one of its areas: it was grouped with it.
    beside = iou(found.boxes, raised.boxes).max(axis=1, initial=0.0) >= parameters.area_iou
    keep, areas = [], []
    for number in range(len(found)):
        free = np.setdiff1d(found.areas[number], taken)
        # Cells of a region that grew out of a raised one belong to it, the whole region.
        whole = len(free) == len(found.areas[number]) if isinstance(head, CellGrid) else not beside[number]
        if whole and len(free) and found.scores[number] < thresholds[found.classes[number]]:
            keep.append(number)
            areas.append(free.astype(np.int32))
    return Found(boxes=found.boxes[keep], scores=found.scores[keep], classes=found.classes[keep], areas=tuple(areas))
