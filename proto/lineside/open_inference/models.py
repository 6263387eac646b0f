"""A model package in the words of the Open Inference Protocol: its tensors, and how to read its answers. Pure.

The station and `lineside export triton` describe a package by this one file, so a client meets the same model on a
station and in a Triton model repository.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray

from lineside.areas import CellGrid, Head, head_of
from lineside.decode import Found, decode_outputs
from lineside.open_inference import inference_pb2
from lineside.package import GRAPH_NAME
from lineside.v1 import model_pb2

MANIFEST_PARAMETER = "lineside.manifest"
"""Of a model's configuration: the part of the package's manifest that reading its answers needs, as JSON."""
DIGEST_PARAMETER = "lineside.digest"
VERSION_PARAMETER = "lineside.version"

_CONFIG_TYPES = {
    "UINT8": inference_pb2.TYPE_UINT8,
    "INT32": inference_pb2.TYPE_INT32,
    "FP32": inference_pb2.TYPE_FP32,
    "BYTES": inference_pb2.TYPE_STRING,
}
_KEPT = ("name", "version", "input", "cells", "anchors", "classes", "decode")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output."""

    name: str
    datatype: str
    """UINT8, INT32, FP32 or BYTES."""
    shape: tuple[int, ...]
    """Without the batch axis where the model has one; -1: any size."""
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a client can know of a model."""

    name: str
    version: str
    platform: str
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    """Pictures in one request; 0: the tensors have no batch axis."""
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    file: str = ""

    def full_shape(self, tensor: TensorSpec) -> tuple[int, ...]:
        """With the batch axis, where there is one, as -1."""
        return (-1, *tensor.shape) if self.max_batch_size else tensor.shape

    def metadata(self) -> inference_pb2.ModelMetadataResponse:
        """The answer to ModelMetadata."""

        def tensor(spec: TensorSpec) -> inference_pb2.ModelMetadataResponse.TensorMetadata:
            return inference_pb2.ModelMetadataResponse.TensorMetadata(
                name=spec.name, datatype=spec.datatype, shape=self.full_shape(spec)
            )

        return inference_pb2.ModelMetadataResponse(
            name=self.name,
            versions=[self.version],
            platform=self.platform,
            inputs=[tensor(spec) for spec in self.inputs],
            outputs=[tensor(spec) for spec in self.outputs],
        )

    def config(self) -> inference_pb2.ModelConfig:
        """The answer to ModelConfig, and a model repository's config.pbtxt."""
        return inference_pb2.ModelConfig(
            name=self.name,
            platform=self.platform,
            backend=self.backend,
            max_batch_size=self.max_batch_size,
            input=[
                inference_pb2.ModelInput(
                    name=spec.name, data_type=_CONFIG_TYPES[spec.datatype], dims=spec.shape, optional=spec.optional
                )
                for spec in self.inputs
            ],
            output=[
                inference_pb2.ModelOutput(name=spec.name, data_type=_CONFIG_TYPES[spec.datatype], dims=spec.shape)
                for spec in self.outputs
            ],
            default_model_filename=self.file,
            parameters={
                name: inference_pb2.ModelParameter(string_value=value) for name, value in self.parameters.items()
            },
        )


def graph_spec(manifest: model_pb2.PackageManifest, digest: str, *, max_batch_size: int) -> ModelSpec:
    """The deployed graph of a package: letterboxed pictures in, the head's outputs out.

    Args:
        manifest: of the package.
        digest: of the package.
        max_batch_size: pictures in one request.
    """
    size = manifest.input
    head = head_of(manifest)
    return ModelSpec(
        name=manifest.name,
        version=manifest.version,
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        inputs=(TensorSpec(name="image", datatype="UINT8", shape=(size.height, size.width, size.channels)),),
        outputs=_outputs(head, len(manifest.classes), manifest.anchors.top_k),
        max_batch_size=max_batch_size,
        parameters={
            DIGEST_PARAMETER: digest,
            VERSION_PARAMETER: manifest.version,
            MANIFEST_PARAMETER: _manifest_json(manifest),
        },
        file=GRAPH_NAME,
    )


def manifest_of(config: inference_pb2.ModelConfig) -> model_pb2.PackageManifest:
    """The manifest a model's configuration holds; what is not needed to read answers is left out of it.

    Raises:
        ValueError: the configuration holds none.
    """
    text = config.parameters[MANIFEST_PARAMETER].string_value if MANIFEST_PARAMETER in config.parameters else ""
    try:
        return json_format.Parse(text, model_pb2.PackageManifest())
    except (json_format.ParseError, RecursionError) as error:
        raise ValueError(f"the model's parameter {MANIFEST_PARAMETER} holds no manifest: {error}") from None


def found_in(outputs: Mapping[str, NDArray[np.generic]], manifest: model_pb2.PackageManifest) -> Found:
    """Detections out of the graph's outputs for one picture, as the station makes them; boxes in model pixels.

    Args:
        outputs: by name, without the batch axis.
        manifest: of the package, or the part of it that `manifest_of` gives.
    """
    thresholds = np.array([item.threshold for item in manifest.classes], np.float32)
    return decode_outputs(outputs, head_of(manifest), thresholds=thresholds, parameters=manifest.decode)


def _outputs(head: Head, classes: int, top_k: int) -> tuple[TensorSpec, ...]:
    if isinstance(head, CellGrid):
        return (TensorSpec(name="heat", datatype="FP32", shape=(head.rows, head.columns, classes)),)
    return (
        TensorSpec(name="boxes", datatype="FP32", shape=(top_k, 4)),
        TensorSpec(name="scores", datatype="FP32", shape=(top_k,)),
        TensorSpec(name="classes", datatype="INT32", shape=(top_k,)),
        TensorSpec(name="areas", datatype="INT32", shape=(top_k,)),
    )


def _manifest_json(manifest: model_pb2.PackageManifest) -> str:
    document = json_format.MessageToDict(manifest, preserving_proto_field_name=True)
    kept = {name: document[name] for name in _KEPT if name in document}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
