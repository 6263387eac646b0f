"""What whoever makes a package says about it: what it is for, from when to when, and who answers for it."""

from __future__ import annotations

import dataclasses
import datetime

from lineside.v1 import model_pb2

PURPOSES = {"release": model_pb2.PURPOSE_RELEASE, "trial": model_pb2.PURPOSE_TRIAL}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Words and dates for the manifest; empty or None: not said."""

    purpose: str = "release"
    """"release": may serve; "trial": is replayed and stands in shadow, and never serves."""
    not_before: datetime.datetime | None = None
    not_after: datetime.datetime | None = None
    """By the station's clock, to the second; both with a time zone."""
    responsible: str = ""
    intended_use: str = ""
    limits_of_use: str = ""

    def __post_init__(self) -> None:
        if self.purpose not in PURPOSES:
            raise ValueError(f"purpose is {self.purpose!r}, expected one of {', '.join(PURPOSES)}")
        for name, value in (("not_before", self.not_before), ("not_after", self.not_after)):
            if value is not None and value.tzinfo is None:
                raise ValueError(f"{name} {value.isoformat()} has no time zone; expected one, such as +00:00")

    def write(self, manifest: model_pb2.PackageManifest) -> None:
        """Puts it into a manifest."""
        manifest.purpose = PURPOSES[self.purpose]
        for field, value in (("not_before", self.not_before), ("not_after", self.not_after)):
            if value is not None:
                getattr(manifest, field).FromSeconds(int(value.timestamp()))
        manifest.responsible, manifest.intended_use = self.responsible, self.intended_use
        manifest.limits_of_use = self.limits_of_use


def parse_date(text: str, *, end_of_day: bool = False) -> datetime.datetime:
    """A day or a time in ISO 8601, in UTC unless it says otherwise.

    Args:
        text: e.g. 2026-12-31 or 2026-12-31T18:00:00+01:00.
        end_of_day: a day alone is its last second, not its first.

    Raises:
        ValueError: it is neither.
    """
    try:
        value = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{text!r} is no date; expected e.g. 2026-12-31 or 2026-12-31T18:00:00+01:00") from None
    if end_of_day and len(text) == len("2026-12-31"):
        value += datetime.timedelta(days=1, seconds=-1)
    return value if value.tzinfo is not None else value.replace(tzinfo=datetime.timezone.utc)
