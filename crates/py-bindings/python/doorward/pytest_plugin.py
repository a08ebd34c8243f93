"""The fixtures of ``doorward_testing.pytest_plugin``, for a suite that names this module itself (``-p doorward.pytest_plugin``).

Nothing loads it unasked: the entry point for pytest is that of the distribution ``doorward-testing``.
"""

# First, for the sentence it raises where that distribution is missing.
from . import testing as _testing  # noqa: F401
from doorward_testing.pytest_plugin import doorward_issuer, issuer

__all__ = ["doorward_issuer", "issuer"]
