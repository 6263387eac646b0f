"""Who may sign for what, and when a package may serve, by the station's clock."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from support import packages
from support.pushes import ACTOR, Told, manager, push, refused, score, states

from edge.models import trust
from edge.models.manager import ModelManager
from edge.models.settings import ModelsSettings, SignerSettings
from lineside.package import Package
from lineside.reasons import Reason
from lineside.v1 import model_pb2

JUNE, JULY = 1_780_272_000, 1_782_864_000  # 2026-06-01 and 2026-07-01, both at 0:00 UTC


def made(folder: Path, key: Path | None, *, name: str = "tiles", version: str = "1.0.0", **use: object) -> Package:
    """A package whose manifest says what it is for and when."""
    manifest = packages.manifest_for(packages.anchor_head(), name=name, version=version)
    manifest.purpose = use.get("purpose", model_pb2.PURPOSE_UNSPECIFIED)  # type: ignore[assignment]
    for field in ("not_before", "not_after"):
        if field in use:
            getattr(manifest, field).FromSeconds(use[field])
    bias = float(version.split(".")[1]) / 10
    return packages.write(folder, manifest, packages.graph_for(packages.anchor_head(), bias=bias), key=key)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The station's clock, as intake reads it; set its one entry."""
    now = [float(JUNE)]
    monkeypatch.setattr("edge.models.intake.time.time", lambda: now[0])
    return now


def manifest(**fields: object) -> model_pb2.PackageManifest:
    return model_pb2.PackageManifest(name="boards", version="1.2.0", **fields)  # type: ignore[arg-type]


def test_the_dates_are_those_they_are_called() -> None:
    utc = datetime.timezone.utc
    assert datetime.datetime.fromtimestamp(JUNE, utc) == datetime.datetime(2026, 6, 1, tzinfo=utc)
    assert datetime.datetime.fromtimestamp(JULY, utc) == datetime.datetime(2026, 7, 1, tzinfo=utc)


@pytest.mark.parametrize(
    ("signer", "purpose", "new", "word"),
    [
        ({}, "PURPOSE_RELEASE", True, ""),
        ({}, "PURPOSE_TRIAL", True, ""),
        ({"may_sign": ("release",)}, "PURPOSE_UNSPECIFIED", True, ""),
        ({"may_sign": ("release",)}, "PURPOSE_TRIAL", True, "may sign for release, this package is for trial"),
        ({"may_sign": ("trial",)}, "PURPOSE_TRIAL", True, ""),
        ({"may_sign": ("trial",)}, "PURPOSE_RELEASE", True, "or export it for trial"),
        # A package from before there was a choice serves, so a trial key must not vouch for it.
        ({"may_sign": ("trial",)}, "PURPOSE_UNSPECIFIED", True, "this package is for release"),
        ({"models": ("boards",)}, "PURPOSE_RELEASE", True, ""),
        ({"models": ("bolts", "nuts")}, "PURPOSE_RELEASE", True, "may sign models bolts, nuts, this package is boards"),
        ({"retired": True}, "PURPOSE_RELEASE", True, "retired"),
        ({"retired": True}, "PURPOSE_RELEASE", False, ""),
    ],
)
def test_a_key_signs_for_what_it_may(signer: dict[str, object], purpose: str, new: bool, word: str) -> None:
    settings = SignerSettings(key=Path("k.pub"), **signer)  # type: ignore[arg-type]
    package = manifest(purpose=model_pb2.Purpose.Value(purpose))
    if word:
        refused(lambda: trust.check_role(settings, package, new=new), Reason.ROLE, word)
    else:
        trust.check_role(settings, package, new=new)


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (JUNE - 0.5, "valid from 2026-06-01T00:00:00Z on and this station's clock says 2026-05-31T23:59:59Z"),
        (JUNE, ""),
        (JULY, ""),
        (JULY + 0.5, "valid until 2026-07-01T00:00:00Z and this station's clock says 2026-07-01T00:00:00Z"),
        (0, "clock says 1970-01-01T00:00:00Z; activate it then, or set the clock"),
    ],
)
def test_a_package_may_serve_from_its_first_second_to_its_last(now: float, word: str) -> None:
    package = manifest()
    trust.check_valid(package, now)
    package.not_before.FromSeconds(JUNE)
    package.not_after.FromSeconds(JULY)
    if word:
        refused(lambda: trust.check_valid(package, now), Reason.PKG_VALIDITY, word)
    else:
        trust.check_valid(package, now)


def test_a_key_named_twice_or_for_nothing_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    key = tmp_path / "k.pub"
    with pytest.raises(ValueError, match="named twice"):
        ModelsSettings(trusted_keys=(key,), signers=(SignerSettings(key=key, may_sign=("trial",)),))
    with pytest.raises(ValueError, match="name release, trial or both"):
        SignerSettings(key=key, may_sign=())
    assert ModelsSettings(signers=(SignerSettings(key=key),)).signature_required
    with pytest.raises(ValueError, match=r"models\.signers: there is no file"):
        manager(tmp_path / "data", Told(), signers=(SignerSettings(key=key),))


def test_a_trial_package_stands_in_shadow_and_never_serves(tmp_path: Path, told: Told) -> None:
    release, release_pub = packages.make_key(tmp_path / "keys", "release")
    trial, trial_pub = packages.make_key(tmp_path / "keys", "trial")
    old = made(tmp_path / "old", release)
    tried = made(tmp_path / "tried", trial, version="1.1.0", purpose=model_pb2.PURPOSE_TRIAL)
    posing = made(tmp_path / "posing", trial, version="1.2.0")
    signers = (SignerSettings(key=trial_pub, may_sign=("trial",)),)
    with manager(tmp_path / "data", told, trusted_keys=(release_pub,), signers=signers) as models:
        push(models, old.folder)
        assert models.status(old.digest).ready
        models.activate(old.digest, ACTOR)
        refused(lambda: push(models, posing.folder), Reason.ROLE, "trial.pub may sign for trial")
        push(models, tried.folder)
        assert not models.status(tried.digest).ready
        models.prepare(tried.digest, ACTOR, shadow=True)
        refused(lambda: models.activate(tried.digest, ACTOR), Reason.ROLE, "signed for trial")
        # It is not the package's fault; it stays what it is.
        assert states(models)["1.1.0"] != "REFUSED"
        assert score(models) == pytest.approx(packages.expected_score(0.0), abs=1e-6)


def activated(models: ModelManager, package: Package) -> None:
    push(models, package.folder)
    models.activate(package.digest, ACTOR)


def test_a_package_can_come_before_its_first_day_and_serves_from_then_on(
    tmp_path: Path, told: Told, at: list[float]
) -> None:
    early = made(tmp_path / "early", None, not_before=JULY)
    with manager(tmp_path / "data", told) as models:
        push(models, early.folder)
        refused(lambda: models.activate(early.digest, ACTOR), Reason.PKG_VALIDITY, "valid from 2026-07-01")
        at[0] = JULY
        assert models.activate(early.digest, ACTOR).serving


def test_what_serves_goes_on_after_its_last_day_and_can_be_gone_back_to(
    tmp_path: Path, told: Told, at: list[float]
) -> None:
    first = made(tmp_path / "first", None, not_after=JULY)
    second = made(tmp_path / "second", None, version="1.1.0")
    with manager(tmp_path / "data", told) as models:
        activated(models, first)
    at[0] = JULY + 1
    with manager(tmp_path / "data", told) as models:  # a start after its last day
        assert states(models) == {"1.0.0": "ACTIVE"}
        activated(models, second)
        assert models.rollback("worse", ACTOR).model.version == "1.0.0"
        models.activate(second.digest, ACTOR)
        refused(lambda: models.activate(first.digest, ACTOR), Reason.PKG_VALIDITY, "valid until")
        late = made(tmp_path / "late", None, version="1.2.0", not_after=JULY)
        refused(lambda: push(models, late.folder), Reason.PKG_VALIDITY, "set the clock if that is wrong")


def test_a_retired_keys_packages_stay_and_nothing_new_of_it_comes(tmp_path: Path, told: Told) -> None:
    private, public = packages.make_key(tmp_path / "keys")
    one = made(tmp_path / "one", private)
    with manager(tmp_path / "data", told, signers=(SignerSettings(key=public),)) as models:
        activated(models, one)
    with manager(tmp_path / "data", told, signers=(SignerSettings(key=public, retired=True),)) as models:
        assert states(models) == {"1.0.0": "ACTIVE"}
        two = made(tmp_path / "two", private, version="1.1.0")
        refused(lambda: push(models, two.folder), Reason.ROLE, "retired")


def test_a_key_that_was_taken_out_takes_its_packages_with_it(tmp_path: Path, told: Told) -> None:
    private, public = packages.make_key(tmp_path / "keys")
    _, other = packages.make_key(tmp_path / "keys", "other")
    with manager(tmp_path / "data", told, trusted_keys=(public,)) as models:
        activated(models, made(tmp_path / "one", private))
    with manager(tmp_path / "data", told, trusted_keys=(other,)) as models:
        refused(lambda: score(models), Reason.NO_MODEL, "NO_MODEL")
