"""The small run that the examples of the pages work on."""

from tests.api.conftest import results

__all__ = ["results"]
