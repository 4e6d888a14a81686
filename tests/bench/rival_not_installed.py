"""A rival that needs what nobody has."""

from __future__ import annotations

import a_package_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401
