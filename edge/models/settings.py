"""What a station's owner decides about models: section [models] of station.toml and those below it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge.settings import Settings


class ReplaySettings(Settings):
    """Section [models.replay]: a candidate answers for what operators said before it may serve."""

    required: bool = False
    """Whether a package has to pass before it may serve."""
    least_records: int = Field(default=20, ge=1)
    """Judged records that could be used; with fewer the gate refuses to decide."""
    most_escapes: int = Field(default=0, ge=0)
    """Known defects at whose place the candidate says nothing."""
    least_found_share: float = Field(default=0.95, ge=0, le=1)
    """Of each class's known defects, so many found there and under that class."""
    most_firing_share: float = Field(default=0.5, ge=0, le=1)
    """Of the rejected detections, so many may fire again."""
    most_sound_firing_share: float = Field(default=0.1, ge=0, le=1)
    """Of the frames called healthy or complete, so many may show an alarm."""


class ShadowSettings(Settings):
    """Section [models.shadow]: a candidate answers live frames beside the serving model, compared and never used."""

    frames: int = Field(default=0, ge=0, le=1_000_000)
    """Frames both models must have answered before the candidate may serve; 0: no shadow is asked for."""
    most_reject_to_pass: float = Field(default=0.1, ge=0, le=1)
    """Of those frames, so many may pass that the serving model rejects."""
    most_pass_to_reject: float = Field(default=0.1, ge=0, le=1)
    """Of those frames, so many may be rejected that the serving model passes."""
    most_lost: float = Field(default=1.0, ge=0, le=1)
    """Of the serving model's detections of each class, so many may be missing; 1: no limit."""
    most_new: float = Field(default=1.0, ge=0, le=1)
    """Of the candidate's detections of each class, so many may be new; 1: no limit."""
    most_failures: int = Field(default=0, ge=0)
    """Frames on which the candidate may fail (NaN, no answer)."""


class ProbationSettings(Settings):
    """Section [models.probation]: when the station goes back by itself, and when it confirms by itself."""

    watch: bool = True
    """Whether the station goes back by itself."""
    errors: int = Field(default=3, ge=1)
    """Frames the model could not answer (engine errors, NaN), from which on it is taken back."""
    latency_ratio: float = Field(default=2.0, gt=1)
    """Taken back when its 99th percentile is beyond so many times that of the model before it."""
    most_alarm_ratio: float = Field(default=2.0, ge=1)
    """Taken back when its share of rejected frames is beyond so many times that of the model before it."""
    least_alarm_ratio: float = Field(default=0.1, ge=0, le=1)
    """Taken back when that share is below so many times; 0: never."""
    risk: float = Field(default=0.001, gt=0, lt=0.5)
    """Chance that a model which keeps one of these limits exactly is taken back all the same, over its probation."""
    compare_frames: int = Field(default=1000, ge=100, le=100_000)
    """Latest frames of the model before it that it is compared with."""
    confirm_frames: int = Field(default=0, ge=0)
    """Confirmed by itself after so many frames; 0: frames are not counted."""
    confirm_minutes: float = Field(default=0.0, ge=0)
    """Confirmed by itself after so many minutes; with frames: when both are met; both 0: only a person confirms."""


class SignerSettings(Settings):
    """One of [[models.signers]]: a key, and what it may sign for."""

    key: Path
    """PEM file with a P-256 public key."""
    may_sign: tuple[Literal["release", "trial"], ...] = ("release", "trial")
    """release: packages that may serve; trial: packages that are replayed and stand in shadow, and never serve."""
    models: tuple[str, ...] = ()
    """Names of models it may sign; empty: all."""
    retired: bool = False
    """True: what it signed before stays and can be gone back to; nothing new of it is taken."""

    @field_validator("may_sign")
    @classmethod
    def _may_sign_something(cls, may_sign: tuple[str, ...]) -> tuple[str, ...]:
        if not may_sign:
            raise ValueError("name release, trial or both; a key that may sign nothing is taken out of the list")
        return may_sign


class ModelsSettings(Settings):
    """How packages are checked and served."""

    backend: Literal["onnxruntime-cpu", "onnxruntime-cuda", "onnxruntime-tensorrt", "tensorrt", "auto"] = (
        "onnxruntime-cpu"
    )
    """The runtime that serves; auto: the fastest that works here. `lineside doctor` says which do."""
    build_engines: bool = True
    """Whether the station builds a TensorRT engine that is missing, beside serving. Only with tensorrt and auto."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of one inference; cores minus one is a good number where the station has its box to itself."""
    trusted_keys: tuple[Path, ...] = ()
    """PEM files with P-256 public keys that may sign whatever there is. With any key, here or in [[models.signers]], a
    package must be signed by one of them."""
    signers: tuple[SignerSettings, ...] = ()
    """Keys that may sign some packages only."""
    require_signature: bool | None = None
    """Absent: whether there are trusted keys. False with keys: an unsigned package passes, a wrong signature never."""
    frozen: bool = False
    """True: no other model is activated, whoever asks; pushes, shadows, learning and rollbacks go on."""
    maximum_package_mb: int = Field(default=512, ge=1, le=8192)
    """A larger push is refused before a byte is kept."""
    keep_packages: int = Field(default=8, ge=2, le=1000)
    """Packages kept on the disk; the serving one and those a rollback may need are kept beyond that."""
    trial_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Time limit of a package's first inference, which runs in a process of its own."""
    trial_memory_mb: int = Field(default=4096, ge=256)
    """Memory limit of that process."""
    replay: ReplaySettings = ReplaySettings()
    """Section of its own."""
    shadow: ShadowSettings = ShadowSettings()
    """Section of its own."""
    probation: ProbationSettings = ProbationSettings()
    """Section of its own."""

    @model_validator(mode="after")
    def _keys_can_be_asked_for(self) -> Self:
        if self.require_signature and not self.all_signers:
            raise ValueError("require_signature is true and trusted_keys is empty: name at least one public key file")
        keys = [signer.key for signer in self.all_signers]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"key {twice[0]} is named twice in trusted_keys and signers; once says what it may sign")
        return self

    @property
    def all_signers(self) -> tuple[SignerSettings, ...]:
        """Every key, `trusted_keys` with all rights."""
        return (*(SignerSettings(key=key) for key in self.trusted_keys), *self.signers)

    @property
    def signature_required(self) -> bool:
        """Whether an unsigned package is refused."""
        return bool(self.all_signers) if self.require_signature is None else self.require_signature
