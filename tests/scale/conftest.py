"""For tests beside other engines: those of an engine that is not installed here are not collected.

``make test-scale`` has an environment with all of them.
"""

from __future__ import annotations

from importlib.util import find_spec

_NEEDS = {"test_scale_ray*.py": "ray", "test_scale_dask*.py": "distributed"}

collect_ignore_glob = [files for files, package in _NEEDS.items() if find_spec(package) is None]
