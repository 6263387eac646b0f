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

from edge.cameras import AnyCameraSettings
from edge.frame import is_camera_name
from edge.mentoring.settings import MentoringSettings
from edge.models.settings import ModelsSettings
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
    cameras: tuple[AnyCameraSettings, ...] = ()
    recipes: tuple[RecipeSettings, ...] = ()

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
    place = [part for part in first["loc"] if not _is_tag(part, first["loc"])]
    name = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        keys = ", ".join(_keys_at(StationConfig, first["loc"][:-1]))
        text = f"unknown key {name}; possible here: {keys}"
    elif first["type"] == "missing":
        text = f"{name} is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        value = repr(first["input"])
        shown = "" if isinstance(first["input"], (Mapping, list)) else f" (it is {value[:80]})"
        text = f"{name}: {message}{shown}" if name else message
    more = error.error_count() - 1
    return text + (f" (and {more} more)" if more else "")


def _is_tag(part: int | str, location: tuple[int | str, ...]) -> bool:
    """Whether a part of a location is pydantic's name for the chosen kind, which is no key of the file."""
    place = location.index(part)
    return place > 0 and isinstance(part, str) and isinstance(location[place - 1], int) and place + 1 <= len(location)


def _keys_at(annotation: Any, location: tuple[int | str, ...]) -> list[str]:
    """Keys that the section at this place of the file may have."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, UnionType):
        members = [item for item in typing.get_args(annotation) if item is not type(None)]
        if len(members) > 1 and location:
            tagged = [item for item in members if location[0] in _kinds(item)]
            return _keys_at(tagged[0], location[1:]) if tagged else []
        return _keys_at(members[0], location)
    if origin is tuple:
        return _keys_at(typing.get_args(annotation)[0], location[1:])
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        if not location:
            return list(annotation.model_fields)
        field = annotation.model_fields.get(str(location[0]))
        return [] if field is None else _keys_at(field.annotation, location[1:])
    return []


def _kinds(member: Any) -> tuple[Any, ...]:
    fields = getattr(member, "model_fields", {})
    return typing.get_args(fields["kind"].annotation) if "kind" in fields else ()


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
