"""A signing key as text: the form in which Go's note package and C2SP tools keep a private Ed25519 key in a file.

``PRIVATE+KEY+name+key id+base64``, the last part being the signature type and the 32 octets of the seed.  The same
file serves a log, a fleet and a witness; only the public keys differ by their type.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.seal import Signer, Verifier

_PREFIX = "PRIVATE+KEY+"


def key_text(name: str, seed: bytes) -> str:
    """The line that keeps the private key made from 32 random octets; raises LogFormatError for a bad name."""
    verifier = _signer(name, seed).verifier
    secret = base64.b64encode(bytes([Verifier.ALGORITHM]) + seed).decode("ascii")
    return f"{_PREFIX}{name}+{verifier.key_id.hex()}+{secret}\n"


def signer_of(text: str) -> Signer:
    """The signer of a key file; raises LogFormatError without repeating any of the text, which is secret."""
    name, _, rest = text.strip().removeprefix(_PREFIX).partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        octets = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if not text.startswith(_PREFIX) or len(octets) != 33 or octets[0] != Verifier.ALGORITHM:
        raise LogFormatError("This is not a private Ed25519 key of the form PRIVATE+KEY+name+id+base64.")
    made = _signer(name, octets[1:])
    if made.verifier.key_id.hex() != key_id:
        raise LogFormatError(f"The private key {name} does not match its own key id.")
    return made


def signer_of_file(name: str, mode: int, text: str) -> Signer:
    """The signer of a key file by its name, its mode (``st_mode``) and its text.

    Raises ConfigurationError where others than its owner may read it, or where it holds no key.
    """
    if mode & 0o077:
        raise ConfigurationError(f"Others may read the key file {name}: take their rights away with `chmod 600`.")
    try:
        return signer_of(text)
    except LogFormatError as error:
        raise ConfigurationError(f"The key file {name} holds no usable key: {error}") from error


def _signer(name: str, seed: bytes) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(seed))
