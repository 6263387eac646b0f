"""What a station's owner decides about the panel: section [panel] of station.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edge.settings import Settings

Language = Literal["en", "de", "fr", "ja"]
OperatorName = Annotated[str, Field(min_length=1, max_length=64)]


class PanelSettings(Settings):
    """The page's address, who judges on it, and how much it shows."""

    enabled: bool = True
    """False: the station has no page."""
    listen: str = "127.0.0.1:8080"
    """HOST:PORT; port 0: any free one. The default is reachable from the station itself alone."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which browsers may call the station, besides any IP address, localhost and the machine's own name.
    A name that is not known is refused, because it may belong to somebody else's page (DNS rebinding)."""
    login: bool = True
    """Whether the page asks who is there: accounts with roles, made with `lineside station user`. False: whoever
    reaches the page may judge, under a name that is only claimed."""
    session_hours: float = Field(default=12.0, gt=0, le=24 * 31)
    """After which a login ends whatever happens."""
    idle_minutes: float = Field(default=30.0, ge=0)
    """After which it ends where nothing was done; 0: never. Viewers are let be."""
    operator: OperatorName = "operator"
    """Without login: who judges until somebody chooses another name on the page."""
    operators: tuple[OperatorName, ...] = ()
    """Without login: names offered on the page; others are refused. Empty: any name may be typed in."""
    language: Language = "en"
    """Of a page whose browser asks for none of en, de, fr, ja."""
    live_fps: float = Field(default=10.0, gt=0, le=60)
    """Most pictures per second sent to one page; a page that cannot keep up gets fewer."""
    live_side: int = Field(default=1280, ge=160, le=8192)
    """Longest side of a live picture, pixels; larger frames are shrunk for the screen."""
    jpeg_quality: int = Field(default=82, ge=30, le=100)
    """Of all pictures on the page; what is kept in the log is never re-encoded."""
    queue_frames: int = Field(default=2000, ge=1, le=1_000_000)
    """How many of the newest frames in the log are looked through for detections to judge."""
    rollback: bool = True
    """Whether operators may let the model serve again that served before; engineers always may."""
    pages: int = Field(default=16, ge=1, le=1024)
    """Most pages open at once."""
    tls_certificate: Path | None = None
    """PEM file with the certificate chain; with it and `tls_key` the page is https."""
    tls_key: Path | None = None
    """PEM file with the certificate's private key."""

    @field_validator("listen")
    @classmethod
    def _has_a_port(cls, listen: str) -> str:
        host, separator, port = listen.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{listen!r} is no address: write HOST:PORT, as in 127.0.0.1:8080 or [::1]:8080")
        return listen

    @field_validator("operator", "operators")
    @classmethod
    def _are_names(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in (value,) if isinstance(value, str) else value:
            if not name.isprintable() or name != name.strip():
                raise ValueError(f"{name!r} is no operator's name: use printable characters, no space at either end")
        return value

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: name both files or neither")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host, without brackets, and port."""
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)
