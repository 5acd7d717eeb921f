"""The fixed sentences about what a record does not say; every report chooses from them, none rewords them."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "D-COLLECT": (
        "This record shows requests sent and responses received through the proxy. It does not show that content was"
        " stored, kept after cleaning, or used to train a model."
    ),
    "D-COVER": (
        "Only traffic routed through the proxy in the stated period is covered; listed gaps apply. Absence of a record"
        " is not evidence that no access took place."
    ),
    "D-ROBOTS": (
        "'Allowed' means not disallowed by the robots.txt copy identified here, as parsed by the named parser for the"
        " named token. It is not permission, licence, or a legal conclusion."
    ),
    "D-DECL": (
        "Purpose, legal entity, contacts, policies and training use are operator declarations and were not verified."
    ),
    "D-BARRIER": "Paywall, login and CAPTCHA indicators are derived from HTTP signals and are lower bounds.",
    "D-NOTCERT": (
        "Not a certification, and no presumption of conformity with the AI Act, the GPAI Code of Practice or the"
        " Principle Code."
    ),
    "D-SIM": "Similarity between outputs and training content is not assessed.",
}


def chosen(*ids: str) -> list[dict[str, str]]:
    """The disclaimers with these ids, as reports carry them."""
    return [{"id": name, "text": TEXTS[name]} for name in ids]
