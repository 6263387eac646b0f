"""Signatures over package folders: OpenSSF Model Signing with a P-256 key, offline.

The library is loaded only when a signature is made or checked. Nothing of the package is parsed here: files are hashed.
The signature itself has to be read, so its size is limited.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from lineside.package import SIGNATURE_NAME, maximum_bytes
from lineside.reasons import ContractError, Reason

_LOGGER = logging.getLogger(__name__)

_ALTERED = "Signature mismatch: "
"""How the library begins to say that the key is right and the files are not."""


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
        ContractError: PKG_SIGNATURE, there is no signature, none of the keys made it, or it is for other files.
    """
    from model_signing import hashing, verifying

    signature = folder / SIGNATURE_NAME
    if not signature.is_file():
        raise _refused("the package is not signed and this station asks for a signature")
    if signature.is_symlink() or signature.stat().st_size > maximum_bytes(SIGNATURE_NAME):
        raise _refused(f"{SIGNATURE_NAME} is no file of at most {maximum_bytes(SIGNATURE_NAME)} bytes")
    for key in public_keys:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False))
        try:
            config.verify(folder, signature)
        except Exception as error:  # of many kinds; whichever it is, this key does not vouch for these files
            if str(error).startswith(_ALTERED):
                # The key did sign this signature; no other one can have.
                raise _refused(
                    f"{key.name} signed other files than these{_what_changed(str(error))}; export the package again,"
                    " and change nothing afterwards"
                ) from None
            _LOGGER.debug("key %s does not verify: %s", key.name, error)
            continue
        _check_all_are_signed(folder, signature)
        return key
    raise _refused(
        f"none of the station's {len(public_keys)} keys signed exactly these files; sign the package with a key the"
        " station trusts, and change nothing afterwards"
    )


def _check_all_are_signed(folder: Path, signature: Path) -> None:
    """A signature may, in its format, leave files out; what it leaves out anybody may change.

    Called when the signature is known to be right, so that what is read here is the signer's word.

    Raises:
        ContractError: PKG_SIGNATURE.
    """
    try:
        payload = json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]
        resources = json.loads(base64.b64decode(payload))["predicate"]["resources"]
        signed = {str(item["name"]) for item in resources}
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(f"the signature names no files: {error!r}") from None
    left_out = {path.name for path in folder.iterdir()} - {SIGNATURE_NAME} - signed
    if left_out:
        raise _refused(f"the signature leaves out {', '.join(sorted(left_out))}; sign the whole folder")


def _what_changed(said: str) -> str:
    """The names out of the library's list of differences, which shows digests as Python does."""
    said = said.replace("\\", "")
    altered = re.findall(r"Hash mismatch for '([^']+)'", said)
    for names in re.findall(r"(?:Extra|Missing) files [^:]*: ([^'\"\]]+)", said):
        altered += names.split(", ")
    return f" ({', '.join(altered)[:300]})" if altered else ""


def _refused(message: str) -> ContractError:
    return ContractError(Reason.PKG_SIGNATURE, message)
