"""Who may sign for what, and when a package may serve. Decides only: the time comes as an argument.

A package is taken in while it is not past its last day, so that a fleet can have it before its first; it is activated
between the two. Nothing here is asked of a model that serves or is gone back to: a line does not stand still because a
date has passed.
"""

from __future__ import annotations

import datetime

from edge.models.settings import SignerSettings
from lineside.reasons import ContractError, Reason
from lineside.v1 import model_pb2

TRIAL, RELEASE = "trial", "release"


def purpose_of(manifest: model_pb2.PackageManifest) -> str:
    """What the package is for; one that does not say is for serving, as packages were before they could say."""
    return TRIAL if manifest.purpose == model_pb2.PURPOSE_TRIAL else RELEASE


def check_role(signer: SignerSettings, manifest: model_pb2.PackageManifest, *, new: bool) -> None:
    """The key that signed may sign for such a package.

    Args:
        signer: whose key signed exactly these files.
        manifest: of the package.
        new: it has just come to the station.

    Raises:
        ContractError: ROLE.
    """
    name, purpose = signer.key.name, purpose_of(manifest)
    if new and signer.retired:
        raise _role(f"key {name} is retired on this station and signs nothing new; sign with its successor")
    if purpose not in signer.may_sign:
        advice = ", or export it for trial (--purpose trial)" if purpose == RELEASE else ""
        raise _role(
            f"key {name} may sign for {' and '.join(signer.may_sign)}, this package is for {purpose}; sign it with a"
            f" key that may{advice}"
        )
    if signer.models and manifest.name not in signer.models:
        raise _role(f"key {name} may sign models {', '.join(signer.models)}, this package is {manifest.name}")


def check_meant_to_serve(manifest: model_pb2.PackageManifest) -> None:
    """Raises ContractError: ROLE, the package was signed for trial."""
    if purpose_of(manifest) == TRIAL:
        raise _role(
            f"{manifest.name} {manifest.version} was signed for trial: it may be replayed and stand in shadow, and"
            " never serves; export and sign it for release"
        )


def check_not_expired(manifest: model_pb2.PackageManifest, now: float) -> None:
    """The package's last day is not over.

    Args:
        manifest: of the package.
        now: seconds since 1970 by the station's clock.

    Raises:
        ContractError: PKG_VALIDITY.
    """
    if manifest.HasField("not_after") and now > _seconds(manifest.not_after.seconds, manifest.not_after.nanos):
        raise ContractError(
            Reason.PKG_VALIDITY,
            f"the package was valid until {manifest.not_after.ToJsonString()} and this station's clock says"
            f" {_words(now)}; export it anew, or set the clock if that is wrong",
        )


def check_valid(manifest: model_pb2.PackageManifest, now: float) -> None:
    """The package may serve at this time. As `check_not_expired`, and its first day has come."""
    check_not_expired(manifest, now)
    if manifest.HasField("not_before") and now < _seconds(manifest.not_before.seconds, manifest.not_before.nanos):
        raise ContractError(
            Reason.PKG_VALIDITY,
            f"the package is valid from {manifest.not_before.ToJsonString()} on and this station's clock says"
            f" {_words(now)}; activate it then, or set the clock if that is wrong",
        )


def _seconds(seconds: int, nanos: int) -> float:
    return seconds + nanos / 1e9


def _words(now: float) -> str:
    return datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _role(message: str) -> ContractError:
    return ContractError(Reason.ROLE, message)
