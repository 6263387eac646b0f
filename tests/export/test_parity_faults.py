"""A package's golden cases name what a station does wrong, and an export that could not is refused or helped."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from support.checkpoints import CLASSES, detector, frames

from edge.models.checks import check_golden
from export.faults import PREPARATIONS, letterbox_input, possible_faults
from export.graph import DeployedGraph
from export.package import TOLERANCE
from export.parity import blind_spots, golden_cases, in_onnxruntime, in_torch
from export.strength import strong_cases, unnoticed
from lineside import golden
from lineside.areas import write_head
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2
from training.evaluate.predictor import decode_parameters

Images = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.generic]]


def manifest_of(graph: DeployedGraph) -> model_pb2.PackageManifest:
    config = graph.detector.config
    manifest = model_pb2.PackageManifest(
        input=model_pb2.ModelInput(
            width=config.width, height=config.height, channels=config.channels, padding=config.padding
        ),
        classes=[model_pb2.ModelClass(name=name, threshold=0.5) for name in config.classes],
        decode=decode_parameters(),
        parity=TOLERANCE,
    )
    write_head(graph.detector.head, manifest, top_k=graph.top_k)
    return manifest


class Made:
    """A network, its manifest and its golden cases as they come out of the package file."""

    def __init__(self, head: str, channels: int = 3) -> None:
        graph = DeployedGraph(detector(head, channels=channels), top_k=60)
        self.manifest = manifest_of(graph)
        self.infer = in_torch(graph)
        cases = strong_cases(self.infer, frames((128, 192)), self.manifest)
        self.cases = golden.unpack(golden.pack(cases), self.manifest)


@pytest.fixture(scope="module", params=["anchors", "cells"])
def made(request: pytest.FixtureRequest) -> Made:
    return Made(request.param)


def served(made: Made, change: Callable[[Outputs], Outputs] = lambda outputs: outputs) -> golden.Agreement:
    return check_golden(
        made.manifest, made.cases, lambda images: change({k: np.array(v) for k, v in made.infer(images).items()})
    )


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(ContractError) as caught:
        action()
    assert caught.value.reason is Reason.PKG_PARITY
    return caught.value.message


def test_a_station_that_does_it_right_passes(made: Made) -> None:
    assert served(made).score == 0.0


@pytest.mark.parametrize("fault", sorted(PREPARATIONS))
def test_the_serving_check_names_a_wrong_preparation(made: Made, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The station's own letterbox is replaced; the rest of its check is as it serves."""
    from edge.models import checks

    right = checks.preprocess
    monkeypatch.setattr(
        checks, "preprocess", lambda pixels, size: (PREPARATIONS[fault](pixels, size), right(pixels, size)[1])
    )
    assert golden.FAULTS[fault] in refusal(lambda: served(made))


def test_the_serving_check_names_a_runtime_that_answers_nothing(made: Made) -> None:
    message = refusal(lambda: served(made, lambda outputs: {k: np.zeros_like(v) for k, v in outputs.items()}))
    assert golden.SILENCE in message


@pytest.mark.parametrize("places", [1, 2])
def test_the_serving_check_names_classes_that_are_out_of_place(made: Made, places: int) -> None:
    def moved(outputs: Outputs) -> Outputs:
        single = {name: values[0] for name, values in outputs.items()}
        return {k: v[None] for k, v in golden.with_moved_classes(single, places, len(CLASSES)).items()}

    assert f"{places} place(s) too high" in refusal(lambda: served(made, moved))


def test_a_background_class_in_front_is_named_too() -> None:
    """Classes 1 to 3 instead of 0 to 2, as networks that count a background answer."""
    made = Made("anchors", channels=1)

    def counted_from_one(outputs: Outputs) -> Outputs:
        return {**outputs, "classes": (outputs["classes"].astype(np.int32) + 1)}

    assert "1 place(s) too high" in refusal(lambda: served(made, counted_from_one))


def test_what_is_no_known_mistake_is_said_without_a_guess(made: Made) -> None:
    name = "heat" if "heat" in made.cases[0].outputs else "scores"

    def dimmed(outputs: Outputs) -> Outputs:
        return {**outputs, name: (outputs[name] * np.float32(0.8))}

    message = refusal(lambda: served(made, dimmed))
    assert "does not do here what it was exported to do" in message
    assert not any(words in message for words in (*golden.FAULTS.values(), golden.SILENCE, "place(s)"))


def test_a_grey_frame_of_the_models_own_shape_gets_others_beside_it(made: Made) -> None:
    grey = golden_cases(made.infer, frames((64, 96)), made.manifest)
    assert {"squash", "colours"} <= set(unnoticed(grey, made.manifest))
    helped = strong_cases(made.infer, frames((64, 96)), made.manifest)
    assert unnoticed(helped, made.manifest) == ()
    assert len(helped) > len(grey)


def test_frames_that_cannot_tell_whatever_is_done_are_refused() -> None:
    """Nothing but grey, on a network that is sure of nothing: no crop and no tint of it can show anything."""
    manifest = Made("cells").manifest

    def dead(images: Images) -> Outputs:
        return {"heat": np.zeros((len(images), 8, 12, 3), np.float32)}

    with pytest.raises(ValueError, match="does the network say anything"):
        strong_cases(dead, [np.full((64, 96), 128, np.uint8)], manifest)

    def one_eyed(images: Images) -> Outputs:
        heat = np.full((len(images), 8, 12, 3), 0.2, np.float32)
        heat[..., 0] = images[:, ::8, ::8, 1] / 255
        return {"heat": heat}

    with pytest.raises(ValueError, match=r"red and blue are exchanged.*give a picture in colour"):
        strong_cases(one_eyed, frames((128, 96)), manifest)


def test_spare_frames_are_taken_where_they_help(made: Made) -> None:
    spare = frames((64, 64, 3), seed=9)
    manifest = model_pb2.PackageManifest()
    manifest.CopyFrom(made.manifest)
    cases = strong_cases(made.infer, frames((64, 64, 3)), manifest, spare=spare)
    assert len(cases) == 1
    assert unnoticed(cases, manifest) == ()


def test_answers_to_wrong_pictures_are_kept_only_beyond_twice_the_tolerance(made: Made) -> None:
    wide = model_pb2.PackageManifest()
    wide.CopyFrom(made.manifest)
    wide.parity.score, wide.parity.box = 1.0, 1000.0
    assert golden_cases(made.infer, frames((128, 192)), wide)[0].faults.keys() == set()
    case = golden_cases(made.infer, frames((128, 128, 3)), made.manifest)[0]
    assert case.faults.keys() == set(possible_faults(made.manifest.input))


def test_one_channel_has_no_order_of_colours() -> None:
    assert "colours" not in possible_faults(model_pb2.ModelInput(width=8, height=8, channels=1))
    assert unnoticed(Made("anchors", channels=1).cases, Made("anchors", channels=1).manifest) == ()


def test_blind_spots_are_asked_of_a_runtime_as_well(made: Made) -> None:
    assert blind_spots(made.cases, made.infer, made.manifest) == ()
    plain = [golden.GoldenCase(frame=case.frame, outputs=case.outputs) for case in made.cases[:1]]
    assert "colours" in blind_spots(plain, made.infer, made.manifest)


def test_packages_without_answers_to_wrong_pictures_are_read_as_before(made: Made) -> None:
    plain = [golden.GoldenCase(frame=case.frame, outputs=case.outputs) for case in made.cases]
    assert all(not case.faults for case in golden.unpack(golden.pack(plain), made.manifest))
    assert golden.diagnose(plain[0], {}, made.manifest) is None


def test_a_provider_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="does not run on 'abacus' here; it runs on cpu"):
        in_onnxruntime(b"", provider="abacus")


def test_wrong_pictures_are_wrong_in_the_way_they_say() -> None:
    size = model_pb2.ModelInput(width=8, height=8, channels=3, padding=114)
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[:, :, 0], frame[:, :, 1], frame[:, :, 2] = 200, 255, 100
    pixel = {name: prepare(frame, size)[0, 0, 0].tolist() for name, prepare in PREPARATIONS.items()}
    assert letterbox_input(frame, size)[0, 0, 0].tolist() == [200, 255, 100]
    assert pixel == {
        "squash": [200, 255, 100],
        "colours": [100, 255, 200],
        "unit": [0, 1, 0],
        "signed": [72, 127, 228],
        "standard": [1, 1, 0],
        "white": [255, 255, 255],
    }
    wide = np.zeros((8, 16, 3), np.uint8)
    assert letterbox_input(wide, size)[0, 0, 0].tolist() == [114] * 3
    assert PREPARATIONS["squash"](wide, size)[0, 0, 0].tolist() == [0] * 3
