"""The bill of materials: valid CycloneDX, complete, and the same bytes for the same things."""

from __future__ import annotations

import json
from importlib import metadata

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support import packages

from export.sbom import bill_of_materials, software_of
from lineside.package import GOLDEN_NAME, GRAPH_NAME, SBOM_NAME, maximum_bytes
from lineside.v1 import model_pb2

HASHES = {GRAPH_NAME: "a" * 64, GOLDEN_NAME: "b" * 64}


VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def manifest() -> model_pb2.PackageManifest:
    made = packages.manifest_for(packages.anchor_head())
    made.license, made.responsible, made.intended_use = "Apache-2.0", "J. Weber", "boards of line 3"
    made.lineage.parent_digest, made.lineage.data_digest = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    made.lineage.mentoring_digest, made.lineage.feedback_events = "sha256:" + "3" * 64, 12
    made.lineage.logs.add(station="north", first_sequence=5, last_sequence=40, feedback_events=12, frames=9)
    return made


def test_it_is_valid_by_the_published_schema() -> None:
    text = bill_of_materials(manifest(), HASHES).decode()
    assert VALIDATOR.validate_str(text) is None
    # The validator does look.
    assert VALIDATOR.validate_str(text.replace('"type": "library"', '"type": "x"'))
    assert len(text) < maximum_bytes(SBOM_NAME)


def bare() -> model_pb2.PackageManifest:
    return packages.manifest_for(packages.cell_head())


def test_it_lists_what_the_making_needs_as_it_is_installed() -> None:
    software = software_of(bill_of_materials(bare(), {}))
    for name in ("lineside", "torch", "onnx", "onnxruntime", "numpy", "protobuf", "model-signing", "cryptography"):
        assert software[name] == metadata.version(name)
    # Tools of development do not end up in a package, though they are installed here.
    assert not {"pytest", "ruff", "mypy", "hypothesis"} & software.keys()
    assert metadata.version("pytest")


def test_it_names_the_model_its_files_and_what_it_learned_from() -> None:
    document = json.loads(bill_of_materials(manifest(), HASHES))
    model = document["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "tiles", "1.0.0")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert [item["name"] for item in model["components"]] == [GOLDEN_NAME, GRAPH_NAME]
    (ancestor,) = model["pedigree"]["ancestors"]
    assert ancestor["properties"][0]["value"] == "sha256:" + "1" * 64
    data = {item["name"]: item for item in document["components"] if item["type"] == "data"}
    assert sorted(data) == ["mentoring records", "training data"]
    said = {item["name"]: item["value"] for item in data["mentoring records"]["properties"]}
    assert said["lineside:log:north"] == "5 to 40"
    assert said["lineside:digest"] == "sha256:" + "3" * 64
    known = {item["bom-ref"] for item in document["components"]} | {model["bom-ref"]}
    assert {item["ref"] for item in document["dependencies"]} <= known
    assert all(set(item.get("dependsOn", ())) <= known for item in document["dependencies"])


def test_the_same_things_give_the_same_bytes_and_others_another_serial_number() -> None:
    once, again = (bill_of_materials(manifest(), HASHES) for _ in range(2))
    assert once == again
    assert "timestamp" not in json.loads(once)["metadata"]
    other = bill_of_materials(manifest(), {**HASHES, GRAPH_NAME: "c" * 64})
    assert json.loads(other)["serialNumber"] != json.loads(once)["serialNumber"]


@pytest.mark.parametrize("said", ["MIT OR Apache-2.0", "our own words"])
def test_any_licence_that_can_be_said_can_be_listed(said: str) -> None:
    made = bare()
    made.license = said
    text = bill_of_materials(made, {}).decode()
    assert VALIDATOR.validate_str(text) is None
    assert said in text
