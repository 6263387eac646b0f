"""The serving package's graph under the package's name, tensors as they are: what a Triton server would serve of it.

Nothing is letterboxed, judged, kept or told here: that is what `_inspection` is for.
"""

from __future__ import annotations

import time

import numpy as np

from edge.models.slot import ModelSlot, ServingModel
from edge.service.open_inference.served import Answer, Call, ServedModel
from edge.service.open_inference.tensors import malformed, read_tensors, wanted_outputs
from lineside.open_inference import inference_pb2
from lineside.open_inference.models import DIGEST_PARAMETER, VERSION_PARAMETER, ModelSpec, graph_spec
from lineside.reasons import ContractError, Reason


class GraphModel(ServedModel):
    """Answers with the graph's outputs.

    Args:
        slot: where the serving model sits.
        batch: pictures one request may hold.
    """

    def __init__(self, slot: ModelSlot, *, batch: int) -> None:
        self._slot = slot
        self._batch = batch
        self._last: ModelSpec | None = None

    def spec(self) -> ModelSpec | None:
        """Of the model the next request gets."""
        serving = self._slot.serving
        return None if serving is None else self._spec_of(serving)

    def infer(self, request: inference_pb2.ModelInferRequest, call: Call) -> Answer:
        """Runs the pictures one after another, so that those of other callers come between.

        Raises:
            ContractError: NO_MODEL, MODEL_UNKNOWN (another model has begun to serve), REQUEST_MALFORMED, DEADLINE,
                PKG_NAN.
        """
        started_ns = time.monotonic_ns()
        with self._slot.lease() as serving:
            spec = self._spec_of(serving)
            if request.model_name != spec.name or request.model_version not in ("", spec.version):
                raise ContractError(
                    Reason.MODEL_UNKNOWN, f"{spec.name} {spec.version} has just begun to serve; ask for that"
                )
            wanted = wanted_outputs(request, spec)
            images = read_tensors(request, spec)["image"]
            if isinstance(images, list):
                raise malformed("input image holds texts, expected pixels")
            read_ns = time.monotonic_ns()
            runs = []
            for number in range(len(images)):
                if not call.context.is_active():
                    raise ContractError(Reason.DEADLINE, "the caller has hung up")
                runs.append(serving.run(images[number : number + 1], deadline_monotonic_ns=call.deadline_ns))
        run_ns = time.monotonic_ns()
        return Answer(
            spec=spec,
            tensors={item.name: np.concatenate([run[item.name] for run in runs]) for item in spec.outputs},
            wanted=wanted,
            parameters={name: spec.parameters[name] for name in (DIGEST_PARAMETER, VERSION_PARAMETER)},
            pictures=len(images),
            queue_ns=started_ns - call.arrived_ns,
            input_ns=read_ns - started_ns,
            infer_ns=run_ns - read_ns,
        )

    def _spec_of(self, serving: ServingModel) -> ModelSpec:
        """Made anew when another model serves; a race makes it twice."""
        last = self._last
        if last is None or last.parameters[DIGEST_PARAMETER] != serving.identity.digest:
            last = graph_spec(serving.package.manifest, serving.identity.digest, max_batch_size=self._batch)
            self._last = last
        return last
