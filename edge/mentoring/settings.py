"""What a station's owner decides about the mentoring log: section [mentoring] of station.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge.mentoring.ask_settings import AskingSettings
from edge.mentoring.ask_settings import Share as Share
from edge.settings import Settings


class AnyDetectionSettings(Settings):
    """Frames with at least one detection: what the operator is asked about (Cordier et al., section 3.2)."""

    kind: Literal["any_detection"] = "any_detection"
    share: Share = 1.0
    """Probability with which such a frame is kept."""


class UncertaintySettings(Settings):
    """Frames with a detection whose score is close above its class's threshold."""

    kind: Literal["uncertainty"] = "uncertainty"
    margin: float = Field(default=0.1, gt=0, le=1)
    """How far above the threshold a score counts as uncertain."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Where the caller cannot say what threshold a class has."""
    share: Share = 1.0
    """Probability with which such a frame is kept."""


class NoVerdictSettings(Settings):
    """Frames the station could not judge."""

    kind: Literal["no_verdict"] = "no_verdict"
    share: Share = 1.0
    """Probability with which such a frame is kept."""


class AuditSettings(Settings):
    """A random sample of all frames, whatever the model found: the only one that shows what the model misses. Somebody
    is asked to search such a frame whole, however much else there is to do."""

    kind: Literal["audit"] = "audit"
    share: Share = 0.02
    """Probability with which any frame is kept."""


PolicySettings = Annotated[
    AnyDetectionSettings | UncertaintySettings | NoVerdictSettings | AuditSettings, Field(discriminator="kind")
]


class MentoringSettings(Settings):
    """How much the log keeps, and what it keeps."""

    folder: Path = Path("log")
    """Where; relative to the station's data folder."""
    queue: int = Field(default=1024, ge=1, le=1 << 20)
    """Most frames, and most feedback events, that wait for the writer; a frame beyond that is not kept, a feedback
    event is refused with QUEUE_FULL."""
    queue_mb: int = Field(default=512, ge=1)
    """Most picture bytes that wait for the writer, MiB."""
    group: int = Field(default=128, ge=1, le=4096)
    """Most frames and feedback events of one commit."""
    budget_gb: float = Field(default=50.0, gt=0)
    """Picture bytes on disk, GiB, above which the oldest frames that nobody judged are deleted. Judged frames are
    never deleted by the station; when they alone fill the budget, no more frames are kept."""
    keep_free_mb: int = Field(default=256, ge=0)
    """Space left free on the disk, MiB: below it the station cleans as it does above the budget."""
    reserve_mb: int = Field(default=64, ge=1)
    """Size of a file that only takes up space, MiB. It is given up while a full disk is cleaned, because deleting
    needs space as well."""
    retry_seconds: float = Field(default=1.0, gt=0)
    """How often a log that is full or faulty looks whether it can go on."""
    policies: tuple[PolicySettings, ...] = (AnyDetectionSettings(), AuditSettings())
    """Which frames are kept; a frame that any policy wants is kept."""
    asking: AskingSettings = AskingSettings()
    """Which detections of the kept frames are put to operators, within which time."""
    seed: int = Field(default=0, ge=0)
    """Of the policies' random choices."""
