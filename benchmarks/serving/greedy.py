"""A caller with 32 calls at a time on one connection: `python -m benchmarks.serving.greedy ADDRESS SIZE SECONDS`.

Says "ready" once it runs, and in the end how many answers a second it got.
"""

from __future__ import annotations

import sys
import threading
import time

from benchmarks.serving import engines
from lineside.client.inspection import InspectionClient
from lineside.reasons import ContractError

CALLS = 32
PAUSE_SECONDS = 0.005


def main(address: str, size: int, seconds: float) -> None:
    """Asks until the time is over."""
    data = engines.jpeg(engines.picture(size))
    answered = [0] * CALLS
    until = time.monotonic() + seconds
    with InspectionClient(address) as client:

        def asked() -> bool:
            try:
                client.inspect_file(data)
            except ContractError:
                return False
            return True

        def run(number: int) -> None:
            while time.monotonic() < until:
                if asked():
                    answered[number] += 1
                else:
                    time.sleep(PAUSE_SECONDS)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(CALLS)]
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        for thread in threads:
            thread.join()
    print(sum(answered) / seconds, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
