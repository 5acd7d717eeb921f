"""Prints what a catalogue lacks and what it has too much: ``python -m tests.reports.missing_words``."""

from __future__ import annotations

import json
import sys

from reports.words import Language, catalogue
from tests.reports.words_used import used


def main() -> None:
    """Lines to be filled in, then what can go."""
    wanted, known = used(), catalogue(Language.JA)
    for text in sorted(wanted - set(known)):
        sys.stdout.write(f'{json.dumps(text, ensure_ascii=False)} = ""' + "\n")
    for text in sorted(set(known) - wanted):
        sys.stdout.write(f"# nothing uses {json.dumps(text, ensure_ascii=False)}" + "\n")


if __name__ == "__main__":
    main()
