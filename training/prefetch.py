"""Batches prepared on other threads while the network learns. A batch is a pure function of the step, so preparing
some ahead changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from training.data.batches import Batch, Sampler
from training.processes import Share


@contextlib.contextmanager
def batches(sampler: Sampler, share: Share, *, ahead: int) -> Iterator[Callable[[int], Batch]]:
    """Gives a share of the batch of a step, counted from 0.

    Args:
        sampler: draws them.
        share: of this process.
        ahead: batches prepared beforehand, each on a thread of its own; 0: none, on the calling thread.
    """
    if not ahead:
        yield lambda step: sampler.batch(step, share)
        return
    with ThreadPoolExecutor(ahead, thread_name_prefix="batches") as workers:
        coming: dict[int, Future[Batch]] = {}

        def batch_of(step: int) -> Batch:
            for number in range(step, step + 1 + ahead):
                if number not in coming:
                    coming[number] = workers.submit(sampler.batch, number, share)
            return coming.pop(step).result()

        try:
            yield batch_of
        finally:
            workers.shutdown(cancel_futures=True)
