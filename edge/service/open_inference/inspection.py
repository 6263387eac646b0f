"""The model `_inspection`: a picture in, the verdict and the detections out, judged, kept and told as by Inspect."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from google.protobuf import json_format

from edge.inspection import Inspection
from edge.service.images import ReadImage, check_size, read_image
from edge.service.judging import Asked, Judge
from edge.service.open_inference.served import Answer, Call, ServedModel, text_of, whole_number_of
from edge.service.open_inference.tensors import Parameters, Tensor, malformed, read_tensors, wanted_outputs
from edge.verdict import RecipeSettings
from lineside import __version__
from lineside.open_inference import inference_pb2
from lineside.open_inference.models import DIGEST_PARAMETER, VERSION_PARAMETER, ModelSpec, TensorSpec
from lineside.v1 import inspection_pb2

INSPECTION_MODEL = "_inspection"
"""No package can have this name: theirs begin with a letter or a digit."""

PARAMETERS = ("camera", "part_id", "frame_id", "captured_unix_ns", "recipe", "rules")
"""Of a request, beside those a client of Triton may set for its own server."""
TRITON_PARAMETERS = (
    "timeout",
    "priority",
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "binary_data_output",
    "triton_enable_empty_final_response",
)

SPEC = ModelSpec(
    name=INSPECTION_MODEL,
    version=__version__,
    platform="lineside_inspection",
    backend="lineside",
    inputs=(
        TensorSpec(name="image", datatype="BYTES", shape=(1,), optional=True),
        TensorSpec(name="pixels", datatype="UINT8", shape=(-1, -1, -1), optional=True),
    ),
    outputs=(
        TensorSpec(name="verdict", datatype="BYTES", shape=(1,)),
        TensorSpec(name="verdict_reason", datatype="BYTES", shape=(1,)),
        TensorSpec(name="frame_id", datatype="BYTES", shape=(1,)),
        TensorSpec(name="boxes", datatype="FP32", shape=(-1, 4)),
        TensorSpec(name="scores", datatype="FP32", shape=(-1,)),
        TensorSpec(name="classes", datatype="INT32", shape=(-1,)),
        TensorSpec(name="class_names", datatype="BYTES", shape=(-1,)),
        TensorSpec(name="detection_ids", datatype="BYTES", shape=(-1,)),
    ),
    max_batch_size=0,
)


class InspectionModel(ServedModel):
    """Judges pictures.

    Args:
        judge: the station's, shared with its own service.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def spec(self) -> ModelSpec:
        """Always the same."""
        return SPEC

    def infer(self, request: inference_pb2.ModelInferRequest, call: Call) -> Answer:
        """One picture, one verdict; NO_VERDICT is an answer too.

        Raises:
            ContractError: REQUEST_MALFORMED, and whatever Inspect raises.
        """
        parameters = request.parameters
        unknown = sorted(name for name in parameters if name not in (*PARAMETERS, *TRITON_PARAMETERS))
        if unknown:
            raise malformed(
                f"no parameter {unknown[0][:80]!r} of {INSPECTION_MODEL}; there are: {', '.join(PARAMETERS)}"
            )
        wanted = wanted_outputs(request, SPEC)
        tensors = read_tensors(request, SPEC)
        if len(tensors) != 1:
            raise malformed("the request has both image and pixels, or none of them; it needs exactly one")
        asked = Asked(
            camera=text_of(parameters, "camera"),
            part_id=text_of(parameters, "part_id"),
            frame_id=text_of(parameters, "frame_id"),
            captured_unix_ns=whole_number_of(parameters, "captured_unix_ns"),
            rules=self._rules(parameters),
        )
        inspection = self._judge(
            asked,
            lambda: _picture(tensors),
            call.number,
            call.arrived_ns,
            call.context,
            deadline_ns=call.deadline_ns,
        )
        timings = inspection.timings
        model = inspection.model
        return Answer(
            spec=SPEC,
            tensors=_outputs(inspection),
            wanted=wanted,
            parameters={}
            if model is None
            else {DIGEST_PARAMETER: model.digest, VERSION_PARAMETER: model.version, "recipe": inspection.recipe},
            pictures=1,
            queue_ns=timings.queue_us * 1000,
            input_ns=(timings.decode_us + timings.preprocess_us) * 1000,
            infer_ns=timings.inference_us * 1000,
        )

    def _rules(self, parameters: Parameters) -> RecipeSettings | None:
        name, rules = text_of(parameters, "recipe"), text_of(parameters, "rules")
        if name and rules:
            raise malformed("the request has both recipe and rules; it can have one")
        if rules:
            try:
                recipe = json_format.Parse(rules, inspection_pb2.Recipe())
            except (json_format.ParseError, RecursionError) as error:
                raise malformed(f"parameter rules is no Recipe as JSON: {str(error)[:200]}") from None
            return self._judge.rules_of(inspection_pb2.InspectRequest(recipe=recipe))
        return self._judge.rules_named(name) if name else None


def _picture(tensors: Mapping[str, Tensor]) -> ReadImage:
    """Raises ContractError: IMAGE_DECODE, IMAGE_SHAPE."""
    pixels = tensors.get("pixels")
    if pixels is None:
        (data,) = tensors["image"]
        return read_image(inspection_pb2.Image(encoded=data))
    if isinstance(pixels, list) or pixels.shape[2] not in (1, 3):
        raise malformed("input pixels needs 1 (mono) or 3 (RGB) channels as its last side")
    check_size(pixels.shape[1], pixels.shape[0])
    return ReadImage(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, None, "")


def _outputs(inspection: Inspection) -> dict[str, Tensor]:
    found = inspection.detections
    return {
        "verdict": [inspection.verdict.value.encode()],
        "verdict_reason": [inspection.verdict_reason.encode()],
        "frame_id": [inspection.frame_id.encode()],
        "boxes": np.array([item.box for item in found], np.float32).reshape(-1, 4),
        "scores": np.array([item.score for item in found], np.float32),
        "classes": np.array([item.class_index for item in found], np.int32),
        "class_names": [item.class_name.encode() for item in found],
        "detection_ids": [item.detection_id.encode() for item in found],
    }
