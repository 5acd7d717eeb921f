"""Against a real witness: growth is cosigned, and every way in which histories can part is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crawl_audit import witness
from crawl_audit.enrolment import enrolment_text
from crawl_audit.errors import LogFormatError
from crawl_audit.seal import Signer, leaf_hash, merkle_root, verify_note
from crawl_audit.witness import Cosigner
from proxy_addon.anchor_settings import WitnessSettings
from proxy_addon.posting import AnchorError, Answer
from proxy_addon.receipts import Shown
from proxy_addon.witnessing import Witness
from reports.witness_state import WitnessState
from tests.proxy_addon.anchored import LOG, LOG_KEY
from tests.witnesses import listening

WITNESS = Signer.generate("witness.example/w1")
COSIGNER = Cosigner.of(WITNESS.verifier)
FLEET = Signer.generate("fleet.example")
LEAVES = [leaf_hash(bytes([i])) for i in range(20)]
OTHER = [*LEAVES[:2], leaf_hash(b"other"), *LEAVES[3:]]


def shown(size: int, leaves: list[bytes] = LEAVES) -> Shown:
    from crawl_audit.seal import checkpoint_text, origin

    return Shown.of(LOG, LOG_KEY.sign_note(checkpoint_text(origin(LOG), size, merkle_root(leaves[:size]))))


@dataclass
class Client:
    """A client whose knowledge of the log and of the witness the test sets."""

    url: str
    leaves: list[bytes] = field(default_factory=lambda: LEAVES)
    known: int = 0
    enrolment: str | None = None
    vkey: str = COSIGNER.vkey

    def ask(self, size: int) -> list[int]:
        """The sizes of the note that came back, after it was checked in full."""

        def first(log: str, count: int) -> list[bytes]:
            assert log == LOG
            if count > len(self.leaves):
                raise LogFormatError("they are not published")
            return self.leaves[:count]

        asker = Witness(
            WitnessSettings(name="w1", url=self.url, vkey=self.vkey),
            10,
            leaves=first,
            known=lambda log: self.known,
            enrolment=lambda log: self.enrolment,
        )
        receipt = asker.ask(shown(size, self.leaves))
        note = receipt.octets.decode()
        assert verify_note(note, [LOG_KEY.verifier, COSIGNER]) == (LOG_KEY.verifier, COSIGNER)
        (held,) = witness.cosignatures(note, [COSIGNER])
        assert receipt.stated_at == held.at_s * 1_000_000
        self.known = size
        return [witness.parse_size(note.split("\n")[1])]


def state(path: Path, **changes: object) -> WitnessState:
    return WitnessState(path / "state", WITNESS, **{"log_keys": [LOG_KEY.verifier], **changes})  # type: ignore[arg-type]


def test_a_growing_log_is_cosigned_again_and_again(tmp_path: Path) -> None:
    with listening(state(tmp_path)) as url:
        client = Client(url)
        assert [client.ask(size) for size in (1, 2, 2, 7, 20)] == [[1], [2], [2], [7], [20]]


@pytest.mark.parametrize("forgotten", [0, 3, 9])
def test_a_client_that_does_not_know_what_the_witness_signed_is_told(tmp_path: Path, forgotten: int) -> None:
    with listening(state(tmp_path)) as url:
        assert Client(url).ask(5) == [5]
        assert Client(url, known=forgotten).ask(9) == [9]


def test_a_log_of_another_history_is_refused_and_the_operator_told_what_it_means(tmp_path: Path) -> None:
    with listening(state(tmp_path)) as url:
        Client(url).ask(5)
        for size in (5, 9):
            with pytest.raises(AnchorError, match="has signed another history"):
                Client(url, leaves=OTHER, known=5).ask(size)
            with pytest.raises(AnchorError, match="has signed another history"):
                Client(url, leaves=OTHER).ask(size)


def test_an_old_copy_of_the_log_is_recognised(tmp_path: Path) -> None:
    with listening(state(tmp_path)) as url:
        Client(url).ask(9)
        with pytest.raises(AnchorError, match="old or shortened copy"):
            Client(url).ask(5)


def test_an_unknown_log_is_enrolled_where_there_is_an_enrolment(tmp_path: Path) -> None:
    enrolment = FLEET.sign_note(enrolment_text(LOG, LOG_KEY.verifier.vkey))
    with listening(state(tmp_path, log_keys=[], fleet_keys=[FLEET.verifier])) as url:
        with pytest.raises(AnchorError, match="answered 404"):
            Client(url).ask(5)
        with pytest.raises(AnchorError, match="does not take the enrolment"):
            Client(url, enrolment=LOG_KEY.sign_note(enrolment_text(LOG, LOG_KEY.verifier.vkey))).ask(5)
        assert Client(url, enrolment=enrolment).ask(5) == [5]


def test_seals_that_cannot_be_read_are_told_of(tmp_path: Path) -> None:
    with listening(state(tmp_path)) as url:
        Client(url).ask(5)

        def gone(log: str, count: int) -> list[bytes]:
            raise LogFormatError("they are not published")

        settings = WitnessSettings(name="w1", url=url, vkey=COSIGNER.vkey)
        asker = Witness(settings, 10, leaves=gone, known=lambda log: 5, enrolment=lambda log: None)
        with pytest.raises(AnchorError, match="they are not published"):
            asker.ask(shown(9))


def test_a_witness_with_another_key_than_configured_is_not_believed(tmp_path: Path) -> None:
    other = Cosigner.of(Signer.generate("witness.example/w1").verifier)
    with (
        listening(state(tmp_path)) as url,
        pytest.raises(AnchorError, match="did not sign with the key that is configured"),
    ):
        Client(url, vkey=other.vkey).ask(5)


Answering = Callable[[bytes], Answer]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda note: Answer(status=200, content_type="", body=b"nonsense\n"), "does not hold"),
        (lambda note: Answer(status=200, content_type="", body=b"\xff"), "does not hold"),
        (lambda note: Answer(status=200, content_type="", body=b""), "did not sign"),
        (lambda note: Answer(status=409, content_type=witness.SIZE_CONTENT_TYPE, body=b"x\n"), "without a size"),
        (lambda note: Answer(status=409, content_type="text/plain", body=b"5\n"), "another history"),
        (lambda note: Answer(status=500, content_type="", body=b"full \x1b[2J"), "answered 500: full"),
        (
            lambda note: Answer(
                status=200, content_type="", body=witness.cosign(WITNESS, note, 9_000_000_000).encode()
            ),
            "in the future",
        ),
        (
            lambda note: Answer(status=200, content_type="", body=witness.cosign(WITNESS, note + "x\n", 5).encode()),
            "does not hold",
        ),
    ],
)
def test_answers_outside_the_protocol_are_refused(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], Answer], sentence: str
) -> None:
    text = shown(5).note.partition("\n\n")[0] + "\n"
    monkeypatch.setattr("proxy_addon.witnessing.post", lambda *_, **__: answer(text))
    with pytest.raises(AnchorError, match=sentence):
        Client("http://w").ask(5)


def test_cosignatures_by_others_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(5).note.partition("\n\n")[0] + "\n"
    lines = witness.cosign(Signer.generate("w2"), text, 5) + witness.cosign(WITNESS, text, 5)
    answer = Answer(status=200, content_type="", body=lines.encode())
    monkeypatch.setattr("proxy_addon.witnessing.post", lambda *_, **__: answer)
    assert Client("http://w").ask(5) == [5]
