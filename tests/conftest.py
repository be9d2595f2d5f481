"""Every test that starts Ray runs in one process, one after the other, however many processes share the rest."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("ray"):
            item.add_marker(pytest.mark.xdist_group("ray"))
