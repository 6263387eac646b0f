"""The sections of station.toml: what is refused says why, and what is missing says what to install."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pydantic
import pytest

from edge.config import load_config
from edge.outputs.board import check
from edge.outputs.settings import OutputsSettings

ROOT = Path(__file__).resolve().parents[3]
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "station.toml"
    file.write_text(f'[station]\nname = "line-1"\n{text}')
    return file


TOP = '[[cameras]]\nname = "top"\nkind = "synthetic"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[outputs.modbus]\n", "outputs.modbus: the station has no [[cameras]]"),
        (TOP + '[outputs.mqtt]\ncameras = ["left"]\n', "outputs.mqtt: camera 'left' cannot be triggered"),
        (TOP + '[outputs.modbus]\nlisten = "5020"\n', "outputs.modbus.listen: '5020' is no address"),
        (TOP + "[outputs.modbus]\nport = 5020\n", "unknown key outputs.modbus.port"),
        (TOP + '[outputs.opcua]\ncertificate = "c.der"\n', "belong together"),
        (TOP + '[outputs.opcua]\ntrusted = "clients"\n', "trusted needs certificate"),
        (TOP + '[outputs.mqtt]\ntopic = "a/#"\n', "'a/#' is no topic"),
        (TOP + '[outputs.mqtt]\nca_file = "ca.pem"\n', "need tls = true"),
        (TOP + "[outputs.mqtt]\nqos = 3\n", "outputs.mqtt.qos"),
        (TOP + "[outputs.profinet]\n", "unknown key outputs.profinet; possible here: opcua, modbus, mqtt"),
        (TOP + '[outputs.modbus]\ncameras = ["top", "top"]\n', "camera 'top' is there twice"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        load_config(written(tmp_path, text))


def test_following_may_name_cameras_of_line_pcs(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, '[outputs.modbus]\nmode = "following"\ncameras = ["grpc", "left"]\n'))
    assert config.outputs.modbus is not None
    assert config.outputs.modbus.chosen(()) == ("grpc", "left")
    assert check(config.outputs) == ("modbus",)


def test_without_sections_there_is_nothing(tmp_path: Path) -> None:
    assert check(load_config(written(tmp_path, "")).outputs) == ()


@pytest.mark.parametrize(
    ("output", "package", "module"),
    [("opcua", "asyncua", "asyncua"), ("modbus", "pymodbus", "pymodbus.server"), ("mqtt", "aiomqtt", "aiomqtt")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    output: str, package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"edge.outputs.{output}", raising=False)
    settings = OutputsSettings.model_validate({output: {}})
    with pytest.raises(ValueError, match=rf"\[outputs.{output}\] needs the package {package}.*'lineside\[{output}\]'"):
        check(settings)


def test_every_key_is_in_the_example_with_its_default() -> None:
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", (ROOT / "deploy" / "station.toml").read_text(), flags=re.MULTILINE)
    example = tomllib.loads(text)["outputs"]
    odd = {"tls"}  # shown switched on
    for name, field in OutputsSettings.model_fields.items():
        owner = next(kind for kind in field.annotation.__args__ if kind is not type(None))  # type: ignore[union-attr]
        assert set(example[name]) == set(owner.model_fields), name
        for key, default in owner.model_fields.items():
            if isinstance(default.default, (bool, int, float, str)) and key not in odd:
                assert example[name][key] == default.default, f"{name}.{key}"


def test_settings_do_not_change(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, TOP + "[outputs.modbus]\n"))
    with pytest.raises(pydantic.ValidationError):
        config.outputs.modbus = None  # type: ignore[misc]
