"""What a station's owner decides about models: section [models] of station.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from edge.settings import Settings


class ModelsSettings(Settings):
    """How packages are checked and served."""

    backend: Literal["onnxruntime-cpu"] = "onnxruntime-cpu"
    """The runtime that serves."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of one inference; cores minus one is a good number where the station has its box to itself."""
    trusted_keys: tuple[Path, ...] = ()
    """PEM files with P-256 public keys. With any key here a package must be signed by one of them."""
    require_signature: bool | None = None
    """Absent: whether there are trusted keys. False with keys: an unsigned package passes, a wrong signature never."""
    maximum_package_mb: int = Field(default=512, ge=1, le=8192)
    """A larger push is refused before a byte is kept."""
    keep_packages: int = Field(default=8, ge=2, le=1000)
    """Packages kept on the disk; the serving one and those a rollback may need are kept beyond that."""
    trial_seconds: float = Field(default=60.0, gt=0, le=3600)
    """Time limit of a package's first inference, which runs in a process of its own."""
    trial_memory_mb: int = Field(default=4096, ge=256)
    """Memory limit of that process."""

    @model_validator(mode="after")
    def _keys_can_be_asked_for(self) -> Self:
        if self.require_signature and not self.trusted_keys:
            raise ValueError("require_signature is true and trusted_keys is empty: name at least one public key file")
        return self

    @property
    def signature_required(self) -> bool:
        """Whether an unsigned package is refused."""
        return bool(self.trusted_keys) if self.require_signature is None else self.require_signature
