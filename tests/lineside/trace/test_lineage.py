"""From a model to its clicks and back: exactly where a package says which, through parents, over several logs."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support import packages
from support.lessons import tiny
from support.told import DIGEST, everything, frame_id, make_log, say

from export.provenance import lineage_of
from lineside.log.sequences import in_words, ranges_of
from lineside.package import digest_of, manifest_bytes
from lineside.records import Gesture
from lineside.trace.cli import main
from lineside.trace.lineage import ancestry, clicks_in, find_click, known_models, learned_by, uses_of
from lineside.v1 import model_pb2
from training.checkpoint import Lineage, Metadata
from training.data.mentoring import read_log


@given(some.sets(some.integers(0, 200)))
def test_numbers_as_ranges_are_the_same_numbers(numbers: set[int]) -> None:
    assert {n for first, last in ranges_of(in_words(numbers)) for n in range(first, last + 1)} == numbers


@pytest.mark.parametrize("text", ["1-", "a", "5-3", "1,,2", "-1"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="log sequences"):
        ranges_of(text)


def package(
    folder: Path,
    version: str,
    *,
    parent: str = "",
    sequences: str = "",
    first: int = 0,
    last: int = 0,
    station: str = "line-1",
    source: str = "",
) -> str:
    """A package's manifest where a station keeps it; gives its digest."""
    manifest = packages.manifest_for(packages.anchor_head())
    manifest.name, manifest.version = "parts", version
    del manifest.files[:]
    for name in ("golden.npz", "model.onnx"):
        manifest.files.add(name=name, size=1, sha256="0" * 64)
    manifest.lineage.parent_digest, manifest.lineage.recipe = parent, "recommended"
    manifest.quantisation.source_digest = source
    if sequences or last:
        manifest.lineage.logs.add(station=station, first_sequence=first, last_sequence=last, sequences=sequences)
    raw = manifest_bytes(manifest)
    target = folder / digest_of(raw).removeprefix("sha256:")
    target.mkdir(parents=True)
    (target / "manifest.json").write_bytes(raw)
    return digest_of(raw)


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Path, list[str]]:
    """A log, a folder of packages, and these: first, second from it, a small one of the second, one apart."""
    log = make_log(tmp_path / "log")
    folder = tmp_path / "packages"
    first = package(folder, "1.0.0", sequences="1-3,5", first=1, last=5)
    second = package(folder, "1.1.0", sequences="7,40", first=7, last=40, parent=first)
    small = package(folder, "1.1.1", source=second)
    apart = package(folder, "2.0.0", first=6, last=9)  # written before packages named each answer
    return log, folder, [first, second, small, apart]


def test_a_model_lists_the_clicks_it_learned_from_and_those_of_the_models_before_it(world) -> None:
    log, folder, (first, second, small, apart) = world
    models, clicks = known_models([folder], [log]), clicks_in([log])
    line, unknown = ancestry(models[small], models)
    assert ([model.digest for model in line], unknown) == ([small, second, first], "")
    learned = [learned_by(model, clicks) for model in line]
    assert [[click.event.log_sequence for click in item.clicks] for item in learned] == [[], [7], [1, 2, 3, 5]]
    assert all(item.exact for item in learned)
    # What is not in the log that was looked at is told, not left out in silence.
    assert learned[1].elsewhere == {"line-1": "40"}
    old = learned_by(models[apart], clicks)
    assert (old.exact, [click.event.log_sequence for click in old.clicks]) == (False, [6, 7, 8, 9])


def test_a_click_lists_every_model_that_used_it_by_itself_or_through_its_parent(world) -> None:
    log, folder, (first, second, small, apart) = world
    models, clicks = known_models([folder], [log]), clicks_in([log])

    def uses(sequence: int) -> list[tuple[str, str, bool]]:
        found = uses_of(find_click(clicks, f"line-1:{sequence}"), models)
        return [(use.model.digest, use.through.digest, use.exact) for use in found]

    assert uses(1) == [(first, first, True), (second, first, True), (small, first, True)]
    assert uses(7) == [(second, second, True), (small, second, True), (apart, apart, False)]
    assert uses(4) == []
    assert find_click(clicks, everything()[2].key).event.log_sequence == 3


def test_another_stations_answer_of_the_same_number_is_another_answer(world, tmp_path: Path) -> None:
    log, folder, _ = world
    other = make_log(tmp_path / "other", [say(0, 0, Gesture.REJECT, operator="cyd")], station="line-2")
    models, clicks = known_models([folder], [log, other]), clicks_in([log, other])
    assert uses_of(find_click(clicks, "line-2:1"), models) == []
    assert len(uses_of(find_click(clicks, "line-1:1"), models)) == 3


def test_models_are_found_in_the_logs_themselves(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log")
    raw = package(tmp_path / "packages", "3.0.0", sequences="2", first=2, last=2)
    manifest = next((tmp_path / "packages").rglob("manifest.json")).read_text()
    with sqlite3.connect(log / "log.sqlite") as connection:
        connection.execute("INSERT INTO models VALUES (?, 'parts', '3.0.0', ?, 0)", (raw, manifest))
    models = known_models([], [log])
    # The other row is no manifest that can be read, and is passed over.
    assert set(models) == {raw}
    assert DIGEST not in models
    [use] = uses_of(find_click(clicks_in([log]), "line-1:2"), models)
    assert use.model.version == "3.0.0"


def test_what_training_was_taught_is_what_the_package_names_and_the_trace_lists(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log")
    data = read_log(log, tiny())
    account = data.account.to_json()
    assert account["taught"] == {"line-1": in_words(ranges(account["taught"]["line-1"]))}
    metadata = Metadata(config=tiny(), recipe="recommended", lineage=Lineage(account=account, feedback_events=1))
    manifest = model_pb2.PackageManifest(lineage=lineage_of(metadata))
    [entry] = manifest.lineage.logs
    taught = ranges(entry.sequences)
    assert len(taught) == data.feedback_events == account["answers"]["used"]
    # Of everything that was said: not what is unsure, disputed or taken back, and no class this network does not know.
    by_sequence = dict(enumerate(everything(), 1))
    assert not {by_sequence[number].gesture for number in taught} & {Gesture.UNSURE, Gesture.RETRACT}
    assert not any(by_sequence[number].detection_id == f"{frame_id(3)}/1" for number in taught)


def ranges(text: str) -> set[int]:
    return {number for first, last in ranges_of(text) for number in range(first, last + 1)}


def test_the_commands_print_what_was_found(world, capsys: pytest.CaptureFixture[str]) -> None:
    log, folder, (first, second, *_) = world
    where = ["--packages", str(folder), "--log", str(log)]
    assert main(["model", "parts-1.1.0", *where]) == 0
    printed = capsys.readouterr().out
    assert "learned from 1 clicks of these logs" in printed
    assert "line-1:7" in printed
    assert "not in these logs: line-1, log sequences 40" in printed
    assert f"which began with the weights of parts-1.0.0 {first[7:19]}" in printed
    assert main(["model", second, *where, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [len(model["clicks"]) for model in document["models"]] == [1, 4]
    assert main(["click", "line-1:1", *where]) == 0
    assert "parts-1.1.1" in capsys.readouterr().out
    assert main(["click", "line-1:4", *where]) == 0
    assert "none of the 4 models here learned from it" in capsys.readouterr().out
    for wrong, words in ((["click", "line-9:1"], "is no answer in these logs"), (["model", "parts"], "several models")):
        assert main([*wrong, *where]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
