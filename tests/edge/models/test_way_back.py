"""Where a rollback goes, which model it is meant for, and what a station's gates say before a package is warm."""

from __future__ import annotations

from pathlib import Path

from support.pushes import ACTOR, Told, manager, push

from edge.models.audit import DONE, STATION, Audit, Entry
from edge.models.manager import ModelManager
from edge.models.settings import ModelsSettings
from lineside.package import Package


def test_a_rollback_meant_for_another_model_does_nothing_and_is_no_deed(
    models: ModelManager, one: Package, two: Package
) -> None:
    assert models.way_back == ""
    for package in (one, two):
        push(models, package.folder)
        models.activate(package.digest, ACTOR)
    assert models.way_back == one.digest
    assert models.rollback("too late", ACTOR, only_from=one.digest).model.digest == two.digest
    assert models.rollback("worse", ACTOR, only_from=two.digest).model.digest == one.digest
    assert models.rollback("worse", ACTOR, only_from=two.digest).model.digest == one.digest
    assert models.way_back == ""
    assert [entry.message for entry in models.audit() if entry.action == "rollback"] == ["worse"]


def test_where_a_gate_is_asked_for_a_package_that_just_came_is_not_ready(
    tmp_path: Path, told: Told, one: Package, two: Package
) -> None:
    settings = ModelsSettings.model_validate({"replay": {"required": True}})
    with manager(tmp_path / "data", told, replay=settings.replay) as models:
        # The first one needs no replay: there is nothing to compare with.
        assert push(models, one.folder).ready
        models.activate(one.digest, ACTOR)
        assert not push(models, two.folder).ready


def test_the_stations_own_word_against_a_model_is_its_last_alarm_over_starts(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    seen: list[Entry] = []
    audit = Audit(path, seen.append)
    for actor, action, outcome in (
        (ACTOR, "rollback", DONE),
        (ACTOR, "push", "PKG_SIGNATURE"),
        (STATION, "start", DONE),
        (STATION, "confirm", DONE),
    ):
        audit.note(now=1, actor=actor, action=action, outcome=outcome)
    assert audit.last_alarm is None  # people's deeds and mistakes are none, nor is what went well
    audit.note(now=2, actor=STATION, action="refuse", digest="sha256:x", outcome="GATE_FAILED")
    audit.note(now=3, actor=STATION, action="rollback", digest="sha256:y", message="rejects twice as often")
    audit.note(now=4, actor=ACTOR, action="activate")
    assert [entry.number for entry in seen] == [1, 2, 3, 4, 5, 6, 7]
    for known in (audit, Audit(path)):
        assert known.last_alarm is not None
        assert (known.last_alarm.digest, known.last_alarm.unix_ns) == ("sha256:y", 3)
