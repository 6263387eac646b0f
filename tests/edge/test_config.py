"""station.toml: a small file is enough, and what is wrong is said in one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.cameras.folder import FolderCameraSettings
from edge.cli import main
from edge.config import load_config
from edge.stream.curve import CurveSettings

SMALL = '[station]\nname = "line-1"\n'

LARGE = """
[station]
name = "line-1"
data_dir = "var/data"
[grpc]
listen = "127.0.0.1:0"
workers = 4
[stream]
listen = "tcp://127.0.0.1:0"
[feedback]
listen = "tcp://127.0.0.1:0"
[curve]
secret_key = "keys/station.key_secret"
clients = "keys/clients"
[mentoring]
folder = "log"
[[mentoring.policies]]
kind = "any_detection"
[[mentoring.policies]]
kind = "audit"
share = 0.5
[models]
trusted_keys = ["keys/a.pub", "/etc/b.pub"]
[panel]
enabled = false
[[cameras]]
name = "top"
kind = "folder"
folder = "pictures"
fps = 2
[[cameras]]
name = "side"
kind = "synthetic"
setup_file = "light.json"
[[recipes]]
name = "bolts"
part = "B-*"
thresholds = { dent = 0.7 }
regions = [{ x1 = 0, y1 = 0, x2 = 10, y2 = 10.5 }]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(text)
    return path


def test_a_name_is_enough(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SMALL))
    assert config.station.data_dir == tmp_path / "data"
    assert config.mentoring_root == tmp_path / "data" / "log"
    assert config.grpc.listen == "127.0.0.1:50051"
    assert config.cameras == ()


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, LARGE)
    monkeypatch.chdir(tmp_path.parent)
    config = load_config(Path(tmp_path.name) / "station.toml")
    assert config.station.data_dir == tmp_path / "var/data"
    assert config.mentoring_root == tmp_path / "var/data/log"
    assert config.models.trusted_keys == (tmp_path / "keys/a.pub", Path("/etc/b.pub"))
    assert config.curve == CurveSettings(
        secret_key=tmp_path / "keys/station.key_secret", clients=tmp_path / "keys/clients"
    )
    folder, synthetic = config.cameras
    assert isinstance(folder, FolderCameraSettings)
    assert folder.folder == tmp_path / "pictures"
    assert synthetic.setup_file == tmp_path / "light.json"  # type: ignore[union-attr]
    assert config.recipes[0].thresholds == {"dent": 0.7}
    assert not config.panel.enabled


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SMALL + "colour = 1", "unknown key station.colour; possible here: name, data_dir"),
        (SMALL + "[grcp]\nx = 1", "unknown key grcp; possible here: station, grpc, stream"),
        (SMALL + "[grpc]\nport = 1", "unknown key grpc.port; possible here: listen, workers"),
        (SMALL + '[grpc]\nworkers = "8"', "grpc.workers: Input should be a valid integer (it is '8')"),
        (SMALL + "[grpc]\nworkers = 0", "grpc.workers: Input should be greater than or equal to 1 (it is 0)"),
        (SMALL + "[grpc]\nreflection = 1", "grpc.reflection: Input should be a valid boolean"),
        (SMALL + "[[cameras]]\nname = 'a'\nkind = 'folder'", "cameras.0.folder is missing"),
        (SMALL + "[[cameras]]\nname = 'a'\nkind = 'vhs'", "cameras.0"),
        (
            SMALL + "[[cameras]]\nname = 'a'\nkind = 'synthetic'\nspeed = 3",
            "unknown key cameras.0.speed; possible here: name, fps, width, height, open_seconds",
        ),
        (SMALL + "[[cameras]]\nname = 'a b'\nkind = 'synthetic'", "cameras.0.name: 'a b' is no camera name"),
        (SMALL + "[[cameras]]\nname = 'a'\nkind = 'synthetic'\nfps = -1", "cameras.0.fps"),
        (
            SMALL + 2 * "[[cameras]]\nname = 'a'\nkind = 'synthetic'\n",
            "cameras: name 'a' is there twice",
        ),
        (SMALL + "[[recipes]]\nname = 'r'\nthresholds = { dent = 2.0 }", "recipes.0.thresholds.dent"),
        (SMALL + "[[recipes]]\nname = 'r'\nmaximal = 2", "unknown key recipes.0.maximal; possible here: name, camera"),
        (
            SMALL + "[[recipes]]\nname = 'r'\nregions = [{ x1 = 1, y1 = 0, x2 = 1, y2 = 3 }]",
            "recipes.0.regions.0: region (1.0, 0.0, 1.0, 3.0) must have x1 < x2",
        ),
        (
            SMALL + "[[mentoring.policies]]\nkind = 'audit'\nrate = 2",
            "unknown key mentoring.policies.0.rate; possible here: kind, share",
        ),
        (SMALL + "[models]\nrequire_signature = true", "trusted_keys is empty"),
        (SMALL + "[curve]\nsecret_key = 'k'", "curve.clients is missing"),
        ("[station]\n", "station.name is missing"),
        ("", "station is missing"),
        ("[station]\nname = 'a b'", "station.name: 'a b' is no station name"),
        ("[station\n", "is not TOML"),
        (SMALL + "[grpc]\nworkers = 2024-01-01", "grpc.workers"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"station\.toml") as error:
        load_config(written(tmp_path, text))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_several_faults_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\(and 1 more\)"):
        load_config(written(tmp_path, SMALL + "[grpc]\nport = 1\nhost = 2"))


def test_check_says_what_the_station_would_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(written(tmp_path, LARGE))]) == 0
    assert "station line-1, cameras: top, side; recipes: bolts" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_or_missing_file_is_one_line_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, str(tmp_path / "no.toml")]) == 2
    assert main([command, str(written(tmp_path, "nonsense = 1"))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("lineside station: ") for line in lines)
