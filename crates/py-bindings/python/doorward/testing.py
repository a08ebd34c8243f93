"""A real OpenID provider in the test process: :class:`Issuer`, of the distribution ``doorward-testing``.

It mints tokens, so that it is not part of this package: ``pip install 'doorward[testing]'`` installs it for tests, with the pytest fixture
``issuer``.
"""

try:
    from doorward_testing import Algorithm as Algorithm
    from doorward_testing import Issuer
except ModuleNotFoundError as missing:
    if missing.name != "doorward_testing":
        raise
    raise ImportError("doorward.testing needs the package doorward-testing: pip install 'doorward[testing]'", name="doorward_testing") from None

__all__ = ["Issuer"]
