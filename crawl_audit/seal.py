"""Tamper evidence: RFC 6962 Merkle trees over leaves and the C2SP signed notes (checkpoints) that name their heads.

Hashes and signatures only, no clock and no disk; the writer and those who distrust it run the same code.  A log's
tree has one leaf per seal record, so a checkpoint's size is the number of seals.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crawl_audit.errors import LogFormatError

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""RFC 6962 2.1: the hash of a tree without leaves."""
_FIELD = 2**255 - 19
# y coordinates of the points of order 1, 2, 4 and 8 of Curve25519 (RFC 7748 7, Ed25519 form).  A "signature" under
# such a key verifies for any text, and `cryptography` accepts them.
_LOW_ORDER_Y = {
    0,
    1,
    _FIELD - 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
}


def leaf_hash(data: bytes) -> bytes:
    """RFC 6962 2.1: hash of a leaf; the 0x00 keeps a leaf from passing for a node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 2.1: hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing Merkle tree that keeps only the roots of its perfect subtrees, at most one per bit of its size."""

    def __init__(self) -> None:
        self._size = 0
        self._peaks: list[bytes] = []  # largest subtree first

    @classmethod
    def of(cls, size: int, peaks: Sequence[bytes]) -> Self:
        """The tree of ``size`` leaves whose perfect subtrees have these roots, the largest first; raises ValueError."""
        if size < 0 or len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has not {len(peaks)} perfect subtrees")
        made = cls()
        made._size, made._peaks = size, list(peaks)
        return made

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of its perfect subtrees, the largest first."""
        return tuple(self._peaks)

    @property
    def size(self) -> int:
        """How many leaves were appended."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        carry, size = leaf, self._size
        while size & 1:
            carry = node_hash(self._peaks.pop(), carry)
            size >>= 1
        self._peaks.append(carry)
        self._size += 1

    def root(self) -> bytes:
        """The tree's hash as it stands."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 2.1: the hash of a tree given by its leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def _split(size: int) -> int:
    """The largest power of two smaller than ``size`` (RFC 6962 2.1, k)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 2.1.1: what it takes, from the leaf up, to compute the root from leaf ``index`` alone."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves has no leaf {index}")
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(index, leaves[:k]), merkle_root(leaves[k:])]
    return [*inclusion_proof(index - k, leaves[k:]), merkle_root(leaves[:k])]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``leaf`` is leaf ``index`` of the tree of ``size`` leaves with this root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, made = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            made = node_hash(sibling, made)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            made = node_hash(made, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and made == root


def consistency_proof(old: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 2.1.2: what it takes to show that the tree of the first ``old`` leaves is a prefix of this one."""
    if not 0 <= old <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves does not extend one of {old}")
    return [] if old in (0, len(leaves)) else _subproof(old, leaves, True)


def _subproof(old: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [merkle_root(leaves)]
    k = _split(len(leaves))
    if old <= k:
        return [*_subproof(old, leaves[:k], whole), merkle_root(leaves[k:])]
    return [*_subproof(old - k, leaves[k:], False), merkle_root(leaves[:k])]


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree (``new``, ``new_root``) extends (``old``, ``old_root``): RFC 9162 2.1.4.2.

    A tree of size 0 is a prefix of every tree, provided its root is the empty one.
    """
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root and (old > 0 or old_root == EMPTY_ROOT)
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    made_old = made_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            made_old, made_new = node_hash(sibling, made_old), node_hash(sibling, made_new)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            made_new = node_hash(made_new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and made_old == old_root and made_new == new_root


def origin(log: str) -> str:
    """First line of a log's checkpoints: what the tree is of."""
    return f"crawl-audit/{log}"


def checkpoint_text(log_origin: str, size: int, root: bytes) -> str:
    """The three lines of a C2SP tlog-checkpoint; no extension lines (the specification advises against them)."""
    return f"{log_origin}\n{size}\n{base64.b64encode(root).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of a log's tree, as a note states it."""

    origin: str
    size: int
    root: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    """The head a note's text states; raises LogFormatError for anything but the canonical three lines and more."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not lines[0] or not (lines[1].isascii() and lines[1].isdigit()):
        raise LogFormatError("A checkpoint must have three lines: origin, size and root.")
    # No tree has a size of more digits, and Python refuses to convert thousands of them.
    size, root = int(lines[1][:20]), _base64(lines[2])
    if str(size) != lines[1] or len(root) != 32:
        raise LogFormatError("A checkpoint's size or root is not in canonical form.")
    return Checkpoint(origin=lines[0], size=size, root=root)


def _base64(text: str) -> bytes:
    """Octets of canonical base64: Python's decoder lets non-zero trailing bits pass, so it is encoded again."""
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LogFormatError("A signed note holds text that is not base64.") from error
    if base64.b64encode(octets).decode("ascii") != text:
        raise LogFormatError("A signed note holds base64 that is not canonical.")
    return octets


def _check_name(name: str) -> None:
    # C2SP signed-note: key names must not be empty and must not contain spaces or plus signs.
    if not name or "+" in name or any(c.isspace() or not c.isprintable() for c in name):
        raise LogFormatError(f"{name!r} cannot be the name of a note's key.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A public Ed25519 key under its name (C2SP signed-note verifier key)."""

    ALGORITHM: ClassVar[int] = 0x01  # C2SP signed-note: signature type identifier
    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """First four octets of SHA-256(name ‖ newline ‖ type ‖ key): which key a signature line is by."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.ALGORITHM]) + self.public_key).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as C2SP writes it: name+id+base64."""
        key = base64.b64encode(bytes([self.ALGORITHM]) + self.public_key).decode("ascii")
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """The key of a vkey line; raises LogFormatError where it is malformed, of another type, or of low order."""
        name, _, rest = vkey.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        _check_name(name)
        octets = _base64(encoded)
        if len(octets) != 33 or octets[0] != cls.ALGORITHM:
            raise LogFormatError(f"The verifier key {name} is not an Ed25519 key of type {cls.ALGORITHM}.")
        made = cls(name=name, public_key=octets[1:])
        if made.key_id.hex() != key_id:
            raise LogFormatError(f"The verifier key {name} does not match its own key id.")
        if (int.from_bytes(made.public_key, "little") & (2**255 - 1)) % _FIELD in _LOW_ORDER_Y:
            raise LogFormatError(f"The verifier key {name} is a point of low order: it would sign anything.")
        return made

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether the signature over ``text`` is by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private Ed25519 key under its name, in memory."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        _check_name(name)
        self._private_key = private_key
        self.verifier = Verifier(name=name, public_key=private_key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> Self:
        """A new key."""
        return cls(name, Ed25519PrivateKey.generate())

    def sign(self, text: str) -> bytes:
        """The bare signature over ``text``."""
        return self._private_key.sign(text.encode())

    def sign_note(self, text: str) -> str:
        """``text`` (ends with a newline) as a C2SP signed note."""
        assert text.endswith("\n"), "a note's text ends with a newline"
        signature = self.verifier.key_id + self.sign(text)
        return f"{text}\n— {self.verifier.name} {base64.b64encode(signature).decode('ascii')}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line of a note: the key's name and id, and the signature itself."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A signed note taken apart; nothing of it is verified yet."""

    text: str
    signatures: tuple[Signature, ...]


def parse_note(note: str) -> Note:
    """The parts of a signed note; raises LogFormatError unless every octet of it is in canonical form."""
    if any(ord(c) < 0x20 and c != "\n" for c in note):
        raise LogFormatError("A signed note holds control characters.")
    text, separator, tail = note.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise LogFormatError("A signed note needs a blank line and signatures after its text.")
    signatures = []
    for line in tail[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != "—":
            raise LogFormatError("A signature line of a note must begin with an em dash.")
        _check_name(name)
        octets = _base64(encoded)
        if len(octets) < 5:
            raise LogFormatError("A signature line of a note is too short.")
        signatures.append(Signature(name=name, key_id=octets[:4], signature=octets[4:]))
    return Note(text=text + "\n", signatures=tuple(signatures))


def verify_note(note: str, verifiers: Sequence[Verifier]) -> tuple[Verifier, ...]:
    """The given keys whose signature on the note holds; raises LogFormatError where a line of a known key does not."""
    parsed = parse_note(note)
    held = []
    for verifier, line in lines_by(parsed, verifiers):
        if not verifier.verifies(parsed.text, line.signature):
            raise LogFormatError(f"The signature of {line.name} on a note does not hold.")
        held.append(verifier)
    return tuple(held)


def lines_by[V: Verifier](note: Note, verifiers: Sequence[V]) -> Iterator[tuple[V, Signature]]:
    """The signature lines of a note that name one of the given keys, each with that key; nothing is verified yet.

    Lines by unknown keys are left out, as C2SP signed-note and tlog-witness say.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    for line in note.signatures:
        verifier = known.get((line.name, line.key_id))
        if verifier is not None:
            yield verifier, line
