"""A package in a Triton model repository: described as by the station, the graph byte for byte, versions in a row."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from support.packages import CELLS, graph_for, make_anchor_package, make_cell_package, picture, write

from export.cli import main
from export.triton import CONFIG_NAME, export_triton, read_config
from lineside.open_inference import inference_pb2
from lineside.open_inference.models import found_in, graph_spec, manifest_of
from lineside.package import GRAPH_NAME, MANIFEST_NAME, Package
from lineside.reasons import ContractError

NUMPY = {inference_pb2.TYPE_UINT8: "tensor(uint8)", inference_pb2.TYPE_FP32: "tensor(float)"}
NUMPY[inference_pb2.TYPE_INT32] = "tensor(int32)"


@pytest.fixture(params=[make_anchor_package, make_cell_package])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Package:
    made: Package = request.param(tmp_path / "package")
    return made


def config_in(repository: Path, name: str = "tiles") -> inference_pb2.ModelConfig:
    return read_config((repository / name / CONFIG_NAME).read_text())


def test_the_repository_holds_the_graph_and_what_the_station_says_of_it(package: Package, tmp_path: Path) -> None:
    made = export_triton(package, tmp_path / "models")
    files = sorted(path.relative_to(tmp_path / "models") for path in (tmp_path / "models").rglob("*") if path.is_file())
    assert [str(path) for path in files] == [
        "tiles/1/manifest.json",
        "tiles/1/model.onnx",
        "tiles/config.pbtxt",
    ]
    assert (made.folder / GRAPH_NAME).read_bytes() == package.read(GRAPH_NAME)
    assert (made.folder / MANIFEST_NAME).read_bytes() == (package.folder / MANIFEST_NAME).read_bytes()
    config = config_in(tmp_path / "models")
    assert config.HasField("dynamic_batching")
    config.ClearField("scheduling_choice")
    assert config == graph_spec(package.manifest, package.digest, max_batch_size=8).config()


def test_the_graph_has_the_tensors_of_the_configuration_and_its_answers_can_be_read(
    package: Package, tmp_path: Path
) -> None:
    made = export_triton(package, tmp_path / "models", max_batch_size=2)
    config = config_in(tmp_path / "models")
    session = onnxruntime.InferenceSession(made.folder / config.default_model_filename)
    for described, tensors in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert {item.name: (NUMPY[item.data_type], list(item.dims)) for item in described} == {
            item.name: (item.type, item.shape[1:]) for item in tensors
        }
    names = [item.name for item in config.output]
    images = np.stack([picture(0, 1), picture(3, 2)])[:, :, :, None]
    assert len(images) == config.max_batch_size
    outputs = dict(zip(names, session.run(names, {"image": images}), strict=True))
    for number, area in enumerate((1, 3 * CELLS + 2)):
        found = found_in({name: values[number] for name, values in outputs.items()}, manifest_of(config))
        assert [areas.tolist() for areas in found.areas] == [[area]]


def test_the_next_package_is_the_next_version_and_the_one_before_stays(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    old = make_anchor_package(tmp_path / "old")
    new = make_anchor_package(tmp_path / "new", version="1.1.0", bias=0.1)
    assert export_triton(old, repository).version == 1
    made = export_triton(new, repository)
    assert (made.version, made.folder) == (2, repository / "tiles" / "2")
    assert (repository / "tiles" / "1" / GRAPH_NAME).read_bytes() == old.read(GRAPH_NAME)
    assert config_in(repository).parameters["lineside.version"].string_value == "1.1.0"
    assert export_triton(new, repository, version=7).version == 7
    assert export_triton(new, repository).version == 8
    with pytest.raises(FileExistsError, match="--replace"):
        export_triton(new, repository, version=1)
    export_triton(new, repository, version=1, replace=True)
    assert (repository / "tiles" / "1" / GRAPH_NAME).read_bytes() == new.read(GRAPH_NAME)
    assert sorted(path.name for path in repository.iterdir()) == ["tiles"]


def test_versions_with_other_tensors_do_not_share_a_model(tmp_path: Path) -> None:
    export_triton(make_anchor_package(tmp_path / "a"), tmp_path / "models")
    with pytest.raises(ValueError, match="versions with other tensors"):
        export_triton(make_cell_package(tmp_path / "b", version="1.1.0"), tmp_path / "models")
    export_triton(make_cell_package(tmp_path / "c", name="cells"), tmp_path / "models")
    assert not (tmp_path / "models" / "tiles" / "2").exists()


def test_another_user_can_read_what_was_written(package: Package, tmp_path: Path) -> None:
    made = export_triton(package, tmp_path / "models")
    for path in (made.folder.parent, made.folder):
        assert stat.S_IMODE(path.stat().st_mode) & 0o055 == 0o055


def with_fixed_batch(tmp_path: Path, batch: int) -> Package:
    made = make_cell_package(tmp_path / f"free{batch}")
    graph = onnx.load_model_from_string(graph_for(made.head))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    return write(tmp_path / f"fixed{batch}", made.manifest, graph.SerializeToString(), cases=[])


def test_a_graph_for_one_picture_at_a_time_has_no_batch_axis(tmp_path: Path) -> None:
    export_triton(with_fixed_batch(tmp_path, 1), tmp_path / "models")
    config = config_in(tmp_path / "models")
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (0, False)
    assert (list(config.input[0].dims), list(config.output[0].dims)) == ([1, 64, 64, 1], [1, 4, 4, 2])
    with pytest.raises(ValueError, match="exactly 3 pictures"):
        export_triton(with_fixed_batch(tmp_path, 3), tmp_path / "other")


def test_a_package_that_changed_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    package = make_anchor_package(tmp_path / "package")
    (package.folder / GRAPH_NAME).write_bytes(b"another graph")
    with pytest.raises(ContractError, match="PKG_HASH"):
        export_triton(package, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_command_says_what_it_wrote_and_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = make_anchor_package(tmp_path / "package")
    arguments = ["triton", str(package.folder), str(tmp_path / "models")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "tiles 1.0.0, image [64, 64, 1]; boxes [24, 4]; " in said
    assert package.digest in said
    assert main([*arguments, "--version", "1"]) == 2
    assert "exists; give another --version" in capsys.readouterr().err
    assert main([*arguments, "--max-batch", "0"]) == 2
    assert "expected 1 or more" in capsys.readouterr().err
