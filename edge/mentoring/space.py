"""Room on the disk: how much the log takes, and making more by deleting frames that nobody judged."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from edge.mentoring.database import LogDatabase, UnjudgedFrame
from edge.mentoring.faults import is_full
from edge.mentoring.images import ImageStore
from edge.mentoring.reserve import Reserve
from edge.mentoring.retention import Limits

logger = logging.getLogger(__name__)

_AT_ONCE = 64
"""Frames deleted in one transaction: few enough to fit into the space that the reserve gives up."""


class Space:
    """The room a log has. Used by the writer's thread; the numbers may be read by any.

    Args:
        root: the log's folder; exists.
        limits: in bytes.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.limits = limits
        self.image_bytes = 0
        """Of all pictures in the log."""
        self._root = root
        self._reserve = Reserve(root, limits.reserve)
        self._holds_reserve = False

    def free_bytes(self) -> int:
        """Free space on the disk.

        Raises:
            OSError: the disk cannot be asked.
        """
        return shutil.disk_usage(self._root).free

    def is_full(self, error: BaseException) -> bool:
        """Whether an error says that there is no space left."""
        try:
            return is_full(error, self.free_bytes())
        except OSError:
            return False

    def hold_reserve(self) -> bool:
        """Takes the reserve's space if it is not held; False: there is not that much.

        Raises:
            OSError: the disk does not obey.
        """
        if not self._holds_reserve:
            self._holds_reserve = self._reserve.hold()
        return self._holds_reserve

    def give_up_reserve(self) -> None:
        """Frees the reserve's space.

        Raises:
            OSError: the disk does not obey.
        """
        self._reserve.give_up()
        self._holds_reserve = False

    def shortage(self, coming: int) -> int:
        """Bytes that have to go before `coming` more can be written; 0: there is room.

        Raises:
            OSError: the disk cannot be asked.
        """
        return self.limits.shortage(
            image_bytes=self.image_bytes,
            free_bytes=self.free_bytes(),
            holds_reserve=self._holds_reserve,
            coming=coming,
        )

    def clean(
        self, images: ImageStore, database: LogDatabase, *, coming: int, at_least: int, spare: Collection[str]
    ) -> bool:
        """Deletes the oldest frames that nobody judged, until there is room.

        Args:
            images: of the log.
            database: of the log.
            coming: bytes that are going to be written.
            at_least: bytes to delete even if there seems to be room: the disk has just said that there is none.
            spare: ids of frames that somebody is speaking of right now.

        Returns:
            Whether there is room.

        Raises:
            OSError, sqlite3.Error: the disk is full beyond help, or does not obey.
        """
        freed = 0
        while (wanted := max(self.shortage(coming + self.limits.headroom), at_least - freed)) > 0:
            victims: list[UnjudgedFrame] = []
            chosen = 0
            for frame in database.oldest_unjudged(_AT_ONCE + len(spare)):
                if frame.frame_id not in spare and chosen < wanted:
                    victims.append(frame)
                    chosen += frame.image_bytes
            if not victims:
                break
            try:
                freed += self._delete(images, database, victims)
            except (OSError, sqlite3.Error) as error:
                # Once: the reserve is there for this. A second time there is nothing to give up.
                if not self._holds_reserve or not self.is_full(error):
                    raise
                self.give_up_reserve()
        if not self._holds_reserve:
            database.checkpoint()
            self.hold_reserve()
        if freed:
            logger.info("deleted the oldest frames that nobody judged", extra={"bytes": freed})
        return self.shortage(coming) == 0

    def _delete(self, images: ImageStore, database: LogDatabase, victims: Sequence[UnjudgedFrame]) -> int:
        """Deletes frames, then the pictures that no other frame has; gives back the bytes freed."""
        with database.transaction():
            database.remove_frames([frame.frame_id for frame in victims])
        freed = 0
        pictures = {(frame.image_sha256, frame.image_suffix): frame.image_bytes for frame in victims}
        for (sha256, suffix), size in pictures.items():
            if not database.has_image(sha256, suffix):
                images.remove(sha256, suffix)
                freed += size
        self.image_bytes -= freed
        return freed
