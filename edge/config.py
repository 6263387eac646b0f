"""station.toml as one frozen value. Each section's class lives beside its owner; here they meet."""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import pydantic
from pydantic.fields import FieldInfo

from edge.cameras import AnyCameraSettings
from edge.frame import is_camera_name
from edge.mentoring.settings import MentoringSettings
from edge.metrics.settings import MetricsSettings
from edge.models.settings import ModelsSettings
from edge.outputs.settings import OutputsSettings
from edge.panel.settings import PanelSettings
from edge.service.server import GrpcSettings
from edge.settings import Settings
from edge.stream.curve import CurveSettings
from edge.stream.feedback import FeedbackSettings
from edge.stream.publisher import StreamSettings
from edge.verdict import RecipeSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class StationSettings(Settings):
    """Section [station]."""

    name: str
    """Of the station, in every answer: 1 to 64 letters, digits, '-', '_' or '.'."""
    data_dir: Path = Path("data")
    """Where the station keeps its log and its models; made if it is not there."""

    @pydantic.field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not is_camera_name(name):
            raise ValueError(f"{name!r} is no station name: use 1 to 64 letters, digits, '-', '_' or '.'")
        return name


class StationConfig(Settings):
    """The whole file. Only [station] with a name must be there."""

    station: StationSettings
    grpc: GrpcSettings = GrpcSettings()
    stream: StreamSettings = StreamSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    curve: CurveSettings | None = None
    """Absent: both ZeroMQ sockets are open to whoever can reach them."""
    mentoring: MentoringSettings = MentoringSettings()
    models: ModelsSettings = ModelsSettings()
    panel: PanelSettings = PanelSettings()
    metrics: MetricsSettings = MetricsSettings()
    outputs: OutputsSettings = OutputsSettings()
    cameras: tuple[AnyCameraSettings, ...] = ()
    recipes: tuple[RecipeSettings, ...] = ()

    @property
    def panel_folder(self) -> Path:
        """Where the panel keeps accounts and what it counted."""
        return self.station.data_dir / "panel"

    @pydantic.model_validator(mode="after")
    def _names_are_unique(self) -> StationConfig:
        for what, names in (
            ("cameras", [camera.name for camera in self.cameras]),
            ("recipes", [recipe.name for recipe in self.recipes]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: name {twice[0]!r} is there twice; every one needs its own")
        return self

    @pydantic.model_validator(mode="after")
    def _outputs_have_cameras(self) -> StationConfig:
        self.outputs.check([camera.name for camera in self.cameras])
        return self

    @property
    def mentoring_root(self) -> Path:
        """The mentoring log's folder."""
        return self.station.data_dir / self.mentoring.folder


def load_config(path: Path) -> StationConfig:
    """Reads a station.toml. Relative paths in it are relative to its folder; the log's folder to the data folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no TOML, or a key or value is wrong; one line that names it and what would be right.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"no configuration at {path}; deploy/station.toml is a commented example") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    try:
        # As JSON, because pydantic then is strict about types and yet takes lists for tuples and text for paths.
        config = StationConfig.model_validate_json(json.dumps(document, default=str), strict=True)
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {explain(error)}") from None
    folder = path.absolute().parent
    return config.model_copy(
        update={
            name: value if name == "mentoring" else _below(folder, value)
            for name, value in ((name, getattr(config, name)) for name in StationConfig.model_fields)
        }
    )


def explain(error: pydantic.ValidationError) -> str:
    """The first fault in one line, and how many more there are."""
    first = error.errors(include_url=False)[0]
    place, _ = _trace(first["loc"])
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        _, section = _trace(first["loc"][:-1])
        text = f"unknown key {name}; possible here: {', '.join(_fields(section))}"
    elif first["type"] == "missing":
        text = f"{name} is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        value = repr(first["input"])
        shown = "" if isinstance(first["input"], (Mapping, list)) else f" (it is {value[:80]})"
        text = f"{name}: {message}{shown}" if name else message
    more = error.error_count() - 1
    return text + (f" (and {more} more)" if more else "")


def _trace(location: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """Follows pydantic's location of a fault through the classes.

    Returns:
        The keys as they stand in the file, without pydantic's own names for the chosen kind of a thing; and what is
        expected at that place.
    """
    keys: list[str] = []
    expected: Any = StationConfig
    for part in location:
        if typing.get_origin(expected) is typing.Annotated:
            expected = typing.get_args(expected)[0]
        if typing.get_origin(expected) in (typing.Union, UnionType):
            members = [item for item in typing.get_args(expected) if item is not type(None)]
            if len(members) > 1:
                expected = next((item for item in members if part in _kinds(item)), None)
                continue
            expected = members[0]
        keys.append(str(part))
        if expected in (None, Any):
            continue
        if typing.get_origin(expected) is tuple:
            expected = typing.get_args(expected)[0]
        elif typing.get_origin(expected) is Mapping:
            expected = typing.get_args(expected)[1]
        else:
            field = _fields(expected).get(str(part))
            expected = None if field is None else field.annotation
    if typing.get_origin(expected) in (typing.Union, UnionType):
        expected = next(item for item in typing.get_args(expected) if item is not type(None))
    return keys, expected


def _fields(section: Any) -> dict[str, FieldInfo]:
    """The keys a section may have; none where it is no section."""
    return dict(section.model_fields) if isinstance(section, type) and issubclass(section, Settings) else {}


def _kinds(member: Any) -> tuple[Any, ...]:
    """Values of `kind` by which one of several sections is chosen."""
    kind = _fields(member).get("kind")
    return () if kind is None else typing.get_args(kind.annotation)


def _below(folder: Path, value: Any) -> Any:
    """The same value with relative paths put below a folder."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_below(folder, item) for item in value)
    if isinstance(value, Settings):
        return value.model_copy(
            update={name: _below(folder, getattr(value, name)) for name in type(value).model_fields}
        )
    return value
