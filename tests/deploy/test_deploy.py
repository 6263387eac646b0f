"""What a customer copies: the example configuration, the service unit and the container file cannot rot."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import StationConfig, load_config
from edge.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def station(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def uncommented() -> str:
    """The example with every commented-out key and section switched on."""
    return re.sub(r"^# (?=\[|[a-z_]+ = )", "", (DEPLOY / "station.toml").read_text(), flags=re.MULTILINE)


def test_the_example_is_a_configuration_as_it_stands() -> None:
    config = load_config(DEPLOY / "station.toml")
    assert (config.station.name, config.cameras[0].name, config.recipes[0].name) == ("line-1", "top", "default")


def test_what_is_commented_out_is_right_too(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(uncommented())
    config = load_config(file)
    assert config.curve is not None
    assert [camera.name for camera in config.cameras] == ["top", "side", "door", "demo"]
    assert config.panel.tls_key == tmp_path / "keys" / "panel.key"


@pytest.mark.parametrize("section", ["grpc", "stream", "feedback", "mentoring", "models", "panel", "metrics"])
def test_every_key_is_explained_with_its_default(section: str) -> None:
    owner = StationConfig.model_fields[section].annotation
    assert owner is not None
    assert issubclass(owner, Settings)
    plain = tomllib.loads((DEPLOY / "station.toml").read_text())[section]
    written = tomllib.loads(uncommented())[section]
    for name, field in owner.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            assert set(kind.model_fields) == set(written[name])
    # A signature is asked for as soon as there are keys: the key that changes this is for odd cases only.
    assert set(owner.model_fields) - {"require_signature"} == set(written)
    shown = owner.model_validate({name: value for name, value in plain.items() if name != "policies"})
    assert shown == owner()


def test_the_service_runs_commands_that_exist() -> None:
    unit = (DEPLOY / "lineside.service").read_text()
    commands = re.findall(r"^ExecStart(?:Pre)?=(.*)$", unit, flags=re.MULTILINE)
    assert [command.split()[1:3] for command in commands] == [["station", "check"], ["station", "run"]]
    for _, verb in (command.split()[1:3] for command in commands):
        done = subprocess.run(
            [sys.executable, "-m", "edge", verb, "--help"], capture_output=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0


def test_the_service_unit_is_one(tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is not installed (Debian's package systemd)")
    # The command has to exist for the check; here it is this machine's `true`.
    unit = re.sub(r"/opt/lineside/bin/lineside", str(shutil.which("true")), (DEPLOY / "lineside.service").read_text())
    file = tmp_path / "lineside.service"
    file.write_text(unit)
    done = subprocess.run([analyse, "verify", "--man=no", file], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "lineside.service" in line]
    assert ours == []


def test_the_container_copies_what_exists_and_installs_an_extra_that_exists() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, flags=re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (installed,) = re.findall(r"'\.\[([a-z,]+)\]'", text)
    assert set(installed.split(",")) <= set(extras)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = " ".join(re.findall(r"^COPY (?!--from)(.*)$", text, flags=re.MULTILINE)).split()
    assert {name.split("/")[0] for name in packages["packages"]} <= set(copied)


def test_the_container_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert lines.index("USER lineside") < lines.index('ENTRYPOINT ["lineside", "station"]')


def test_the_ports_people_are_told_are_the_defaults() -> None:
    config = load_config(DEPLOY / "station.toml")
    ports = {
        listen.rpartition(":")[2]
        for listen in (config.grpc.listen, config.stream.listen, config.feedback.listen, config.panel.listen)
    }
    table = set(re.findall(r"^\| (\d+)/tcp", (DEPLOY / "README.md").read_text(), flags=re.MULTILINE))
    exposed = set(re.findall(r"^EXPOSE (.*)$", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)[0].split())
    assert ports == table == exposed


def test_keys_are_made_once_and_the_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert station("keys", str(tmp_path), "ada").returncode == 0
    assert (tmp_path / "ada.key_secret").stat().st_mode & 0o077 == 0
    again = station("keys", str(tmp_path), "ada")
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    odd = station("keys", str(tmp_path), "../ada")
    assert (odd.returncode, "no name for keys" in odd.stderr) == (2, True)
