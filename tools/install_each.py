"""Install a dependency group of pyproject.toml one by one; what can not be had is only named."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path


def main(group: str) -> int:
    """Install the group's requirements with this interpreter's pip."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for requirement in project["dependency-groups"][group]:
        if subprocess.run([*pip, requirement], check=False).returncode:
            print(f"could not install {requirement}: left out", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
