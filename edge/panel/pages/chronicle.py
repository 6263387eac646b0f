"""Remembers what came along: counts every part, looks at a picture a second, keeps both over a restart.

Fed by the hub's reader thread, asked by requests; a lock between them, never held while a file is written or a picture
measured. Nothing of the line waits for it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence

from edge.panel.pages.sight import Look, look_at
from edge.panel.pages.tally import Span
from edge.panel.pages.tally_file import TallyFile
from edge.panel.pages.watch import Watch
from edge.panel.parts import PanelParts
from edge.panel.wire import Json
from lineside import golden
from lineside.package import GOLDEN_NAME, Package
from lineside.v1 import inspection_pb2

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 1.0
MOST_WATCHES = 64
_REFERENCE = "reference.json"


class Chronicle:
    """Thread-safe.

    Args:
        parts: of the station.
        clock: seconds since the epoch.
    """

    def __init__(self, parts: PanelParts, clock: Callable[[], float] = time.time) -> None:
        self._parts = parts
        self._clock = clock
        self._file = TallyFile(parts.folder)
        self._tally = self._file.load()
        self._lock = threading.Lock()
        self._watches: dict[str, Watch] = {}
        self._looked: dict[str, float] = {}
        self._kept: Json = self._load()
        self._taught: dict[str, tuple[float, float] | None] = {}

    def see(self, events: Sequence[inspection_pb2.StationEvent]) -> None:
        """Takes events in; called by one thread."""
        over: list[Span] = []
        for event in events:
            if event.WhichOneof("event") != "inspection":
                continue
            result = event.inspection
            with self._lock:
                span = self._tally.see(result)
            if span is not None:
                over.append(span)
            if result.model.digest:
                watch = self._watch(result)
                with self._lock:
                    watch.part(result)
                self._look(result.camera, watch)
        for span in over:
            self._file.keep(span)

    def close(self) -> None:
        """Writes what has been counted since."""
        for span in self._tally.spans():
            self._file.keep(span)

    def spans(self, since: float) -> list[Span]:
        """Counts since a time, seconds since the epoch; copies."""
        with self._lock:
            return [Span(**{**span.to_json(), "found": dict(span.found)}) for span in self._tally.spans(since)]

    def drift_json(self) -> Json:
        """Each camera's state."""
        with self._lock:
            return {"cameras": [{"name": name, **watch.to_json()} for name, watch in sorted(self._watches.items())]}

    def begin_anew(self, camera: str) -> bool:
        """What is seen from now on is the reference; False: there is no such camera."""
        with self._lock:
            watch = self._watches.get(camera)
            if watch is None:
                return False
            self._watches[camera] = Watch(watch.model, self._clock(), self._taught.get(watch.model))
            self._kept.pop(camera, None)
        self._save()
        return True

    def _watch(self, result: inspection_pb2.InspectionResult) -> Watch:
        digest = result.model.digest
        watch = self._watches.get(result.camera)
        if watch is None or watch.model != digest:
            watch = Watch(digest, self._clock(), self._taught_by(digest))
            watch.restore(self._kept.get(result.camera, {}))
            with self._lock:
                self._watches.pop(result.camera, None)
                self._watches[result.camera] = watch
                while len(self._watches) > MOST_WATCHES:
                    del self._watches[next(iter(self._watches))]
        return watch

    def _look(self, camera: str, watch: Watch) -> None:
        now = time.monotonic()
        if now - self._looked.get(camera, -1e9) < LOOK_EVERY_SECONDS:
            return
        found = self._parts.pictures.get(camera)
        if found is None:
            return
        if len(self._looked) > MOST_WATCHES:
            self._looked.clear()
        self._looked[camera] = now
        look: Look = look_at(found[0].pixels)
        with self._lock:
            complete = watch.look(look)
            if complete:
                self._kept[camera] = watch.kept()
        if complete:
            self._save()

    def _taught_by(self, digest: str) -> tuple[float, float] | None:
        if digest not in self._taught:
            if len(self._taught) > 8:
                self._taught.clear()
            serving = self._parts.slot.serving
            of_it = serving is not None and serving.package.digest == digest
            self._taught[digest] = _brightness_range(serving.package) if serving is not None and of_it else None
        return self._taught[digest]

    def _load(self) -> Json:
        try:
            found = json.loads((self._parts.folder / _REFERENCE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            logger.warning("the references of drift cannot be read; the next pictures are taken as reference")
            return {}
        return (
            {str(name): item for name, item in found.items() if isinstance(item, dict)}
            if isinstance(found, dict)
            else {}
        )

    def _save(self) -> None:
        path = self._parts.folder / _REFERENCE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            staging = path.with_suffix(".new")
            staging.write_text(json.dumps(self._kept), encoding="utf-8")
            staging.replace(path)
        except OSError as error:
            logger.warning("the references of drift are not kept over a restart: %s", error.strerror)


def _brightness_range(package: Package) -> tuple[float, float] | None:
    """Of the package's golden frames; None where they cannot be had."""
    try:
        cases = golden.unpack(package.read(GOLDEN_NAME), package.manifest)
    except Exception as error:  # whatever is wrong with them is told where models are proven
        logger.info("golden frames say nothing of the light: %s", error)
        return None
    levels = [look_at(case.frame).brightness for case in cases]
    return (min(levels), max(levels)) if levels else None
