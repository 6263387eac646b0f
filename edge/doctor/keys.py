"""Keys and certificates: there, readable, whole, for their owner alone, and not over."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

from edge.config import StationConfig
from edge.doctor.findings import Finding, State

SECTION = "keys"
_SOON = datetime.timedelta(days=30)


def findings(config: StationConfig, now: datetime.datetime) -> list[Finding]:
    """Of all files a configuration names; one line where it names none."""
    found = [_signer(signer.key) for signer in config.models.all_signers]
    if config.curve is not None:
        found += [_curve(config.curve.secret_key), _clients(config.curve.clients)]
    panel, outputs = config.panel, config.outputs
    if panel.tls_certificate is not None and panel.tls_key is not None:
        found.append(_pair("panel", panel.tls_certificate, panel.tls_key))
        found.append(_certificate("panel", panel.tls_certificate, now))
        found.append(_secret("panel", panel.tls_key))
    if outputs.opcua is not None and outputs.opcua.certificate is not None:
        found.append(_certificate("opcua", outputs.opcua.certificate, now))
        if outputs.opcua.private_key is not None:
            found.append(_secret("opcua", outputs.opcua.private_key))
    if outputs.mqtt is not None and outputs.mqtt.client_certificate is not None:
        found.append(_certificate("mqtt", outputs.mqtt.client_certificate, now))
        if outputs.mqtt.client_key is not None:
            found.append(_secret("mqtt", outputs.mqtt.client_key))
    if not config.models.signature_required:
        found.append(
            Finding(
                section=SECTION,
                name="packages",
                state=State.WARNING,
                text="a package needs no signature: whoever reaches the station may change its model",
                todo="lineside export keys makes a pair; name the public one in models.trusted_keys",
            )
        )
    return found


def _signer(path: Path) -> Finding:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        return _fault("signer", f"{path}: {_words(error)}", "a PEM file with a P-256 public key is expected")
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        return _fault("signer", f"{path} is no P-256 key", "lineside export keys makes one")
    return _ok("signer", f"{path} is a P-256 public key")


def _curve(path: Path) -> Finding:
    from lineside.client.curve import read_key_file

    try:
        _, secret = read_key_file(path)
    except (OSError, ValueError) as error:
        return _fault("curve", _words(error), "lineside station keys FOLDER NAME makes a pair")
    if secret is None:
        return _fault("curve", f"{path} holds no secret key", "name the file that ends in .key_secret")
    return _secret("curve", path)


def _clients(folder: Path) -> Finding:
    from edge.stream.curve import KeyRing

    try:
        KeyRing(folder)
    except (OSError, ValueError) as error:
        return _fault("operators", _words(error), "put NAME.key of each operator there")
    count = len(list(folder.glob("*.key")))
    if not count:
        return Finding(
            section=SECTION, name="operators", state=State.WARNING, text=f"{folder} is empty: nobody may connect"
        )
    return _ok("operators", f"{count} in {folder}")


def _pair(name: str, certificate: Path, key: Path) -> Finding:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        return _fault(name, f"{certificate.name} and {key.name} do not go together: {_words(error)}", "make them anew")
    return _ok(name, f"{certificate.name} and {key.name} go together")


def _certificate(name: str, path: Path, now: datetime.datetime) -> Finding:
    from cryptography import x509

    try:
        data = path.read_bytes()
        certificate = (
            x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
        )
    except (OSError, ValueError) as error:
        return _fault(name, f"{path}: {_words(error)}", "a certificate is expected")
    end = certificate.not_valid_after_utc
    day = end.date().isoformat()
    if now > end:
        return _fault(name, f"{path.name} ended on {day}", "make a new one")
    if now < certificate.not_valid_before_utc:
        begin = certificate.not_valid_before_utc.date().isoformat()
        return _fault(name, f"{path.name} begins on {begin}", "is the clock right?")
    if end - now < _SOON:
        return Finding(
            section=SECTION, name=name, state=State.WARNING, text=f"{path.name} ends on {day}", todo="make a new one"
        )
    return _ok(name, f"{path.name} is valid until {day}")


def _secret(name: str, path: Path) -> Finding:
    try:
        mode = path.stat().st_mode
        with path.open("rb"):
            pass
    except OSError as error:
        return _fault(name, f"{path}: {_words(error)}", "the station's user has to be able to read it")
    if mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        return Finding(
            section=SECTION,
            name=name,
            state=State.WARNING,
            text=f"secret {path.name} may be read or changed by others",
            todo=f"chmod 600 {path}",
        )
    return _ok(name, f"secret {path.name} is its owner's alone")


def _ok(name: str, text: str) -> Finding:
    return Finding(section=SECTION, name=name, state=State.OK, text=text)


def _fault(name: str, text: str, todo: str) -> Finding:
    return Finding(section=SECTION, name=name, state=State.FAULT, text=text, todo=todo)


def _words(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
