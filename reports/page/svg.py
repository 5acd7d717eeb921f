"""What Vega draws, cut down to shapes and text: one name and description for the whole, nothing else to read out.

Vega describes every axis and mark in English, gives every chart the same ids and fonts of its own.  Of its drawing only
what is seen is kept, by name: an element or attribute that is not listed here does not reach a page.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset(["g", "path", "line", "text"])
_LONG = re.compile(r"-?\d+\.\d{3,}", re.ASCII)
_ATTRIBUTES = frozenset("transform d x1 y1 x2 y2 fill stroke stroke-width opacity text-anchor font-size".split())


def inline(drawn: str, *, ident: str, title: str, description: str) -> str:
    """The SVG document ``drawn`` as an element of a page; ``ident`` begins its ids, which are unique in the page."""
    # It comes from Vega with every text escaped; it has no entities that could be expanded.
    root = ElementTree.fromstring(drawn)  # noqa: S314
    named, described = f"{ident}-title", f"{ident}-description"
    made = ElementTree.Element(
        "svg",
        {
            "viewBox": root.attrib["viewBox"],
            "width": root.attrib["width"],
            "height": root.attrib["height"],
            "role": "img",
            "aria-labelledby": f"{named} {described}",
            "focusable": "false",
        },
    )
    ElementTree.SubElement(made, "title", {"id": named}).text = title
    ElementTree.SubElement(made, "desc", {"id": described}).text = description
    for child in root:
        _keep(child, made)
    return ElementTree.tostring(made, encoding="unicode", short_empty_elements=False)


def _keep(element: ElementTree.Element, parent: ElementTree.Element) -> None:
    name = element.tag.removeprefix(_NAMESPACE)
    if name not in _ELEMENTS or element.get("display") == "none" or _is_empty(element, name):
        return
    kept = {key: _LONG.sub(_shorter, value) for key, value in element.attrib.items() if key in _ATTRIBUTES}
    if name == "g" and kept.get("transform", "translate(0,0)") == "translate(0,0)":  # groups nothing to be seen
        for child in element:
            _keep(child, parent)
        return
    made = ElementTree.SubElement(parent, name, kept)
    made.text = element.text if name == "text" else None
    for child in element:
        _keep(child, made)


def _shorter(found: re.Match[str]) -> str:
    return f"{float(found.group()):.2f}"


def _is_empty(element: ElementTree.Element, name: str) -> bool:
    """Whether nothing would be seen of it: Vega draws a background and a foreground, mostly of nothing."""
    return name == "path" and element.get("fill") is None and element.get("stroke") is None
