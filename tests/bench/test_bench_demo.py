"""The demo: it counts right, and its exit code tells whether its claims are true."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("procession.pool")

DEMO = Path(__file__).parents[2] / "examples/demo.py"

SOURCE = """
class Deep:
    def method(self):
        if self:
            pass
        elif not self:
            try:
                async def inner():
                    return lambda: 1
            except ValueError:
                pass
        else:
            pass
"""


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (SOURCE, (13, 2, 1, 5)),
        ("", (0, 0, 0, 0)),
        ("x = 1\n", (1, 0, 0, 0)),
        ("if 0:\n    pass\nelif 1:\n    pass\nelif 2:\n    pass\n", (6, 0, 0, 1)),
        ("match 0:\n    case 1:\n        pass\n", (3, 0, 0, 1)),
        ("print 'two'\n", None),
        ("\0", None),
    ],
)
def test_survey(demo: ModuleType, tmp_path: Path, source: str, expected: object) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert demo.survey(str(path)) == expected


def test_what_was_installed_later_is_left_out(demo: ModuleType, tmp_path: Path) -> None:
    for name in ("a.py", "site-packages/b.py", "test/c.py", "package/test/d.py", "package/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert demo.modules(tmp_path, tests=False) == ["a.py", "package/test/d.py"]
    assert demo.modules(tmp_path, tests=True) == ["a.py", "package/test/d.py", "test/c.py"]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for number in range(40):
        path = tmp_path / f"package{number % 4}" / f"module{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("print 'two'\n" if number == 7 else SOURCE * (number + 1))
    return tmp_path


def test_the_demo_keeps_what_it_claims(library: Path) -> None:
    command = [sys.executable, str(DEMO), str(library), "--rounds", "1", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[ok]") == 5
    assert "NOT SO" not in done.stdout
    assert done.stdout.count("reported: WorkerDied: ") == 1
    assert "(some test data): 1 files" in done.stdout
    _, *lines = done.stdout.splitlines()  # the first one has the directory in it
    assert max(map(len, lines)) <= 100


def test_a_claim_that_is_not_true_fails_the_demo(
    demo: ModuleType, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    monkeypatch.setattr(sys, "argv", ["demo.py", str(library), "--rounds", "1"])
    monkeypatch.setattr(demo, "compare", lambda *_: ({"serial": [1.0]}, [[None] * 40, []]))
    monkeypatch.setattr(demo, "print_death", lambda *_: None)
    assert demo.main() == 1
