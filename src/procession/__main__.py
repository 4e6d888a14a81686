"""``python -m procession``: the same as the ``procession`` command."""

from __future__ import annotations

import sys

from procession._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
