"""The figures of a page as its script reads them."""

from __future__ import annotations

import json
import re


def figures_of(text):
    """Return the figures of a page's text by their ids."""
    return unpacked(json.loads(re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)[1]))


def unpacked(packed):
    """Do what `unpacked` of page.js does."""
    known = []

    def whole(value):
        if isinstance(value, list):
            return [whole(item) for item in value]
        if not isinstance(value, dict):
            return value
        return known[value["="]] if "=" in value else {key: whole(item) for key, item in value.items()}

    for part in packed["shared"]:
        known.append(whole(part))  # noqa: PERF401  # later parts are made of earlier ones
    return whole(packed["value"])
