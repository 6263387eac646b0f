"""How much has to go so that the log stays within its limits. Pure: bytes in, bytes out.

What goes is decided by one rule: the oldest frames that nobody judged. What an operator has spoken about stays.
"""

from __future__ import annotations

import dataclasses

from edge.mentoring.settings import MentoringSettings

MIB = 1 << 20
GIB = 1 << 30
LARGEST_HEADROOM = 256 * MIB


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of a log; all in bytes."""

    budget: int
    """Most bytes of pictures."""
    keep_free: int
    """Least bytes left free on the disk."""
    reserve: int
    """Size of the reserve file."""
    disk: int
    """Size of the disk."""

    @classmethod
    def of(cls, settings: MentoringSettings, disk: int) -> Limits:
        """The limits in the configuration, on a disk of so many bytes."""
        return cls(
            budget=round(settings.budget_gb * GIB),
            keep_free=settings.keep_free_mb * MIB,
            reserve=settings.reserve_mb * MIB,
            disk=disk,
        )

    @property
    def headroom(self) -> int:
        """How much more than necessary is cleaned, so that cleaning is rare."""
        return min(self.budget // 20, self.disk // 20, LARGEST_HEADROOM)

    def shortage(self, *, image_bytes: int, free_bytes: int, holds_reserve: bool, coming: int = 0) -> int:
        """Bytes that have to go before `coming` more can be written; 0: there is room.

        Args:
            image_bytes: of all pictures.
            free_bytes: on the disk.
            holds_reserve: whether the reserve file has its space.
            coming: bytes to be written.
        """
        over_budget = image_bytes + coming - self.budget
        too_full = self.keep_free + coming + (0 if holds_reserve else self.reserve) - free_bytes
        return max(0, over_budget, too_full)
