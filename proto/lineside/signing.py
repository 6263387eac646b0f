"""Signatures over package folders: OpenSSF Model Signing with a P-256 key, offline.

The library is loaded only when a signature is made or checked. Nothing of the package is parsed here: files are hashed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from lineside.package import SIGNATURE_NAME
from lineside.reasons import ContractError, Reason

_LOGGER = logging.getLogger(__name__)


def sign(folder: Path, private_key: Path) -> Path:
    """Signs every file of a package folder and writes the signature beside them.

    Args:
        private_key: PEM file with a P-256 key.
    """
    from model_signing import hashing, signing

    signature = folder / SIGNATURE_NAME
    signature.unlink(missing_ok=True)
    config = signing.Config().use_elliptic_key_signer(private_key=private_key)
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False))
    config.sign(folder, signature)
    return signature


def verify(folder: Path, public_keys: Sequence[Path]) -> Path:
    """Checks that one of the keys signed exactly these files, and gives back which.

    Raises:
        ContractError: PKG_SIGNATURE, there is no signature or none of the keys made it for these files.
    """
    from model_signing import hashing, verifying

    signature = folder / SIGNATURE_NAME
    if not signature.is_file():
        raise ContractError(Reason.PKG_SIGNATURE, "the package is not signed and this station asks for a signature")
    for key in public_keys:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False))
        try:
            config.verify(folder, signature)
        except Exception as error:  # of many kinds; whichever it is, this key does not vouch for these files
            _LOGGER.debug("key %s does not verify: %s", key.name, error)
            continue
        return key
    raise ContractError(
        Reason.PKG_SIGNATURE,
        f"none of the station's {len(public_keys)} keys signed exactly these files; sign the package with a key the"
        " station trusts, and change nothing afterwards",
    )
