"""The service of the Open Inference Protocol: finds the model, hands over, counts. Decides nothing itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import grpc

from edge.models.slot import ModelSlot
from edge.service.guard import arrival_ns
from edge.service.in_order import InOrder
from edge.service.inspection import STREAM_DEPTH
from edge.service.judging import Judge, deadline_of, earlier
from edge.service.open_inference.graph import GraphModel
from edge.service.open_inference.inspection import InspectionModel
from edge.service.open_inference.served import Call, ServedModel, whole_number_of
from edge.service.open_inference.statistics import Spent, Statistics
from edge.service.open_inference.tensors import write_tensors
from edge.service.open_streams import OpenStreams
from edge.service.status import contract_errors, contract_errors_stream, one_line, unforeseen
from lineside import __version__
from lineside.open_inference import inference_pb2, inference_pb2_grpc
from lineside.open_inference.models import ModelSpec
from lineside.reasons import ContractError, Reason

EXTENSIONS = ("model_configuration", "statistics", "model_repository")


class _Numbered(NamedTuple):
    number: int
    arrived_ns: int
    request: inference_pb2.ModelInferRequest


class OpenInferenceServicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers clients of Triton, KServe and the like.

    Args:
        slot: where the serving model sits.
        judge: the station's, shared with its own service.
        batch: pictures one request may hold.
    """

    def __init__(self, *, slot: ModelSlot, judge: Judge, batch: int) -> None:
        self._slot = slot
        self._judge = judge
        self._models: tuple[ServedModel, ...] = (GraphModel(slot, batch=batch), InspectionModel(judge))
        self._statistics = Statistics()
        self._streams = OpenStreams()

    @contract_errors
    def ServerLive(  # noqa: N802 - the protocol's names
        self,
        request: inference_pb2.ServerLiveRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ServerLiveResponse:
        """It answers."""
        return inference_pb2.ServerLiveResponse(live=True)

    @contract_errors
    def ServerReady(  # noqa: N802
        self,
        request: inference_pb2.ServerReadyRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ServerReadyResponse:
        """Whether a model serves."""
        return inference_pb2.ServerReadyResponse(ready=self._slot.serving is not None)

    @contract_errors
    def ModelReady(  # noqa: N802
        self,
        request: inference_pb2.ModelReadyRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ModelReadyResponse:
        """False for a model there is not, as the protocol has it."""
        try:
            self._find(request.name, request.version)
        except ContractError:
            return inference_pb2.ModelReadyResponse(ready=False)
        return inference_pb2.ModelReadyResponse(ready=self._slot.serving is not None)

    @contract_errors
    def ServerMetadata(  # noqa: N802
        self,
        request: inference_pb2.ServerMetadataRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ServerMetadataResponse:
        """Which server this is."""
        return inference_pb2.ServerMetadataResponse(name="lineside", version=__version__, extensions=EXTENSIONS)

    @contract_errors
    def ModelMetadata(  # noqa: N802
        self,
        request: inference_pb2.ModelMetadataRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ModelMetadataResponse:
        """Tensors of a model."""
        return self._find(request.name, request.version)[1].metadata()

    @contract_errors
    def ModelConfig(  # noqa: N802
        self,
        request: inference_pb2.ModelConfigRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ModelConfigResponse:
        """Configuration of a model."""
        return inference_pb2.ModelConfigResponse(config=self._find(request.name, request.version)[1].config())

    @contract_errors
    def ModelStatistics(  # noqa: N802
        self,
        request: inference_pb2.ModelStatisticsRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.ModelStatisticsResponse:
        """Counts of one model, or of all that can be asked now."""
        specs = [self._find(request.name, request.version)[1]] if request.name else self._specs()
        return inference_pb2.ModelStatisticsResponse(
            model_stats=[self._statistics.of(spec.name, spec.version) for spec in specs]
        )

    @contract_errors
    def RepositoryIndex(  # noqa: N802
        self,
        request: inference_pb2.RepositoryIndexRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> inference_pb2.RepositoryIndexResponse:
        """The models there are."""
        ready = self._slot.serving is not None
        return inference_pb2.RepositoryIndexResponse(
            models=[
                inference_pb2.RepositoryIndexResponse.ModelIndex(
                    name=spec.name,
                    version=spec.version,
                    state="READY" if ready else "UNAVAILABLE",
                    reason="" if ready else "no model serves",
                )
                for spec in self._specs()
                if ready or not request.ready
            ]
        )

    @contract_errors
    def ModelInfer(  # noqa: N802
        self, request: inference_pb2.ModelInferRequest, context: grpc.ServicerContext
    ) -> inference_pb2.ModelInferResponse:
        """Tensors in, tensors out."""
        return self._infer(_Numbered(self._judge.next_number(), arrival_ns(), request), context)

    @contract_errors_stream
    def ModelStreamInfer(  # noqa: N802
        self, request_iterator: Iterator[inference_pb2.ModelInferRequest], context: grpc.ServicerContext
    ) -> Iterator[inference_pb2.ModelStreamInferResponse]:
        """Many requests, answers in their order; a refused one has its error in its place."""

        def answer(item: _Numbered) -> inference_pb2.ModelStreamInferResponse:
            try:
                return inference_pb2.ModelStreamInferResponse(infer_response=self._infer(item, context))
            except ContractError as error:
                failure = error
            except Exception as error:
                failure = unforeseen(error)
            # The id is there so that a caller can tell which of his requests it was.
            about = inference_pb2.ModelInferResponse(id=item.request.id)
            return inference_pb2.ModelStreamInferResponse(error_message=one_line(str(failure)), infer_response=about)

        numbered = (_Numbered(self._judge.next_number(), arrival_ns(), request) for request in request_iterator)
        answers = InOrder(numbered, answer, depth=STREAM_DEPTH)
        with self._streams.holding(answers):
            yield from answers
        self._streams.refuse_if_finished()

    def finish(self) -> None:
        """Ends the streams: what was read is answered, then DRAINING."""
        self._streams.finish()

    def _infer(self, item: _Numbered, context: grpc.ServicerContext) -> inference_pb2.ModelInferResponse:
        request = item.request
        model, spec = self._find(request.model_name, request.model_version)
        try:
            timeout_us = whole_number_of(request.parameters, "timeout")
            own_ns = item.arrived_ns + timeout_us * 1000 if timeout_us > 0 else None
            call = Call(item.number, item.arrived_ns, earlier(deadline_of(context), own_ns), context)
            answer = model.infer(request, call)
        except Exception:
            self._statistics.failed(spec.name, spec.version, time.monotonic_ns() - item.arrived_ns)
            raise
        answered_ns = time.monotonic_ns()
        response = inference_pb2.ModelInferResponse(
            model_name=answer.spec.name,
            model_version=answer.spec.version,
            id=request.id,
            parameters={
                name: inference_pb2.InferParameter(string_param=value) for name, value in answer.parameters.items()
            },
        )
        write_tensors(response, answer.tensors, answer.wanted, raw=bool(request.raw_input_contents))
        written_ns = time.monotonic_ns()
        spent = Spent(
            pictures=answer.pictures,
            total_ns=written_ns - item.arrived_ns,
            queue_ns=answer.queue_ns,
            input_ns=answer.input_ns,
            infer_ns=answer.infer_ns,
            output_ns=written_ns - answered_ns,
        )
        self._statistics.answered(answer.spec.name, answer.spec.version, spent)
        return response

    def _specs(self) -> list[ModelSpec]:
        return [spec for model in self._models if (spec := model.spec()) is not None]

    def _find(self, name: str, version: str) -> tuple[ServedModel, ModelSpec]:
        """Raises ContractError: MODEL_UNKNOWN, NO_MODEL."""
        specs = [(model, spec) for model in self._models if (spec := model.spec()) is not None]
        for model, spec in specs:
            if spec.name == name:
                if version in ("", spec.version):
                    return model, spec
                raise ContractError(
                    Reason.MODEL_UNKNOWN,
                    f"{name} is here in version {spec.version}, not {version[:80]!r}; ask for none, and get the one"
                    " that serves",
                )
        if self._slot.serving is None:
            raise ContractError(Reason.NO_MODEL, "no model serves on this station; push one and activate it")
        there_are = ", ".join(spec.name for _, spec in specs)
        raise ContractError(Reason.MODEL_UNKNOWN, f"no model {name[:80]!r} serves here; there are: {there_are}")
