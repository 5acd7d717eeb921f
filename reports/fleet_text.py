"""What the fleet's commands say to people: a round, and the answer of a verification."""

from __future__ import annotations

from typing import Any

from reports import render
from reports.verify_text import finding_lines

_HEADLINES = {
    "ok": "OK: everything that was checked holds, under keys and heads you brought.",
    "failed": "FAILED: the evidence contradicts itself, or what you brought; who is concerned is named below.",
    "incomplete": "INCOMPLETE: nothing contradicts, but not everything can be known from what there is.",
}
_PATHS = {
    "ok": "OK: every hash leads to the next head, and a key you trust signed the fleet's.",
    "failed": "FAILED: the way is broken; what does not hold is named below.",
    "incomplete": "INCOMPLETE: every hash leads to the next head; no key you brought (--trust) signed the fleet's.",
}
_GROUPS = (("error", "What contradicts"), ("warning", "What cannot be known"), ("info", "For your information"))
LIMITS = (
    "That there are no other sidecars: who was never enrolled is known only where a log of theirs lies in a source.",
    "That all crawling went through a sidecar: what bypassed them cannot be seen from here.",
    "What came after the last head collected of a log, and what no timestamp, pin or witness of the fleet covers.",
)


def round_text(answer: dict[str, Any]) -> str:
    """One round for whoever runs the job; the signed head at the end."""
    counted = ", ".join(f"{number} {state}" for state, number in answer["states"].items()) or "nothing"
    facts = (
        ("Fleet log", answer["fleet_log"]),
        ("Round", answer["round"]),
        ("Found", counted),
        ("Timestamps", ", ".join(answer["timestamps"]) or "none"),
    )
    sections = [render.Section(title="", blocks=(render.Facts(facts),))]
    if answer["named"]:
        table = render.table_of(answer["named"], ("node", "log", "state", "size", "detail"))
        sections.append(render.Section(title="Not as it should be", blocks=(table,)))
    if answer["faults"]:
        sections.append(render.Section(title="Not done", blocks=(render.Lines(tuple(answer["faults"])),)))
    shown = render.text(render.Document(title="Round of the fleet", sections=tuple(sections)))
    return f"{shown}\n{answer['checkpoint']}"


def verification_text(answer: dict[str, Any]) -> str:
    """The answer of ``fleet verify`` for people."""
    fleet = answer["fleet"]
    facts = (
        ("Fleet log", fleet["log"]),
        ("Rounds", fleet["rounds"]),
        ("Last round", fleet["last_round_at"]),
        ("Sealed", f"{fleet['size']} seals"),
        ("Levels", "; ".join(f"{one['level']} by {one['by']}" for one in fleet["levels"]) or "none"),
        ("Logs of sidecars", f"{len(answer['sidecars'])}, of which {_verified(answer)} verified to their head"),
    )
    blocks: tuple[render.Block, ...] = (render.Paragraph(_HEADLINES[answer["result"]]), render.Facts(facts))
    sections = [render.Section(title="", blocks=blocks)]
    for severity, title in _GROUPS:
        found = [one for one in answer["findings"] if one["severity"] == severity]
        if found:
            sections.append(render.Section(title=title, blocks=(render.Lines(tuple(finding_lines(found))),)))
    names = ("node", "log", "state", "size", "through", "verified")
    sections.append(render.Section(title="Sidecars", blocks=(render.table_of(answer["sidecars"], names),)))
    sections.append(render.Section(title="What this does not show", blocks=(render.Lines(LIMITS),)))
    return render.text(render.Document(title="Verification of a fleet", sections=tuple(sections)))


def path_text(answer: dict[str, Any]) -> str:
    """The way from the fleet's head to one record, step by step."""
    sections = [render.Section(title="", blocks=(render.Paragraph(_PATHS[answer["result"]]),))]
    for one in answer["steps"]:
        facts = tuple((name, _shown(value)) for name, value in one.items() if name not in ("step", "record"))
        sections.append(render.Section(title=one["step"], blocks=(render.Facts(facts),)))
    if answer["faults"]:
        lines = render.Lines(tuple(finding_lines(answer["faults"])))
        sections.append(render.Section(title="What does not hold", blocks=(lines,)))
    return render.text(render.Document(title="From the fleet's head to one record", sections=tuple(sections)))


def _shown(value: Any) -> Any:
    return (", ".join(value) or "none") if isinstance(value, list) else value


def _verified(answer: dict[str, Any]) -> int:
    return sum(one["verified"] for one in answer["sidecars"])
