import pytest

import left_behind


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind():
    """Of any file of tests: set up first, so that it looks last."""
    yield
    left_behind.check()
