"""``__main__`` in children, in whatever way the program itself was started."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.plugins.scripts import LIMIT, script_environment
from tests.plugins.starting import METHODS

OTHERS = [name for name in METHODS if name != "fork"]

PROGRAM = """
import sys
import procession as mp
class Thing:
    def __init__(self, value): self.value = value
def double(thing): return Thing(thing.value * 2)
def child(conn): conn.send((__name__ == "__main__", double(Thing(1)).value))
if __name__ == "__main__":
    ctx = mp.get_context({method!r})
    ours, its = ctx.Pipe()
    process = ctx.Process(target=child, args=(its,))
    process.start()
    print(ours.recv()[1], end=" ")
    process.join()
    with ctx.Pool(1) as pool:
        print(*[thing.value for thing in pool.map(double, [Thing(2), Thing(3)])])
"""


def launch(
    *command: object, cwd: Path, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with the given arguments."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        input=stdin,
        env=script_environment(**environment),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.parametrize(
    "way", ["script", "script without suffix", "module", "package", "folder", "zip", "-c", "stdin"]
)
def test_the_program_is_there_in_its_children(way: str, method: str, tmp_path: Path) -> None:
    text = PROGRAM.format(method=method)
    stdin = ""
    if way in ("script", "script without suffix"):
        command: list[object] = ["program.py" if way == "script" else "program"]
        (tmp_path / str(command[0])).write_text(text)
    elif way == "module":
        (tmp_path / "pack").mkdir()
        (tmp_path / "pack/__init__.py").write_text("")
        (tmp_path / "pack/inner.py").write_text("from . import __name__ as mine\n" + text)
        command = ["-m", "pack.inner"]
    elif way == "package":
        (tmp_path / "pack").mkdir()
        (tmp_path / "pack/__init__.py").write_text("")
        (tmp_path / "pack/__main__.py").write_text("from . import __name__ as mine\n" + text)
        command = ["-m", "pack"]
    elif way == "folder":
        (tmp_path / "app").mkdir()
        (tmp_path / "app/beside.py").write_text("")
        (tmp_path / "app/__main__.py").write_text("import beside\n" + text)
        command = ["app"]
    elif way == "zip":
        with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
            archive.writestr("beside.py", "")
            archive.writestr("__main__.py", "import beside\n" + text)
        command = ["app.zip"]
    elif way == "-c":
        command = ["-c", text]
    else:
        command, stdin = ["-"], text
    done = launch(*command, cwd=tmp_path, stdin=stdin)
    assert done.stderr == ""
    assert done.stdout == "2 4 6\n"


@pytest.mark.parametrize("name", OTHERS)
def test_a_program_without_a_guard_works_by_value(name: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(f"""
import procession as mp
mp.set_start_method({name!r})
print("once", flush=True)
def child(): print("child", flush=True)
def double(number): return number * 2
process = mp.Process(target=child)
process.start()
process.join()
with mp.Pool(1) as pool:
    print(pool.map(double, [1, 2]))
""")
    done = launch(path, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["once", "child", "[2, 4]"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_start_outside_the_guard_is_an_error_with_its_remedy(name: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(f"""
import sys
import procession as mp
ctx = mp.get_context({name!r})
process = ctx.Process(target=int)
process.start()
process.join()
print("code", process.exitcode)
if __name__ == "__main__":
    with ctx.Pool(2) as pool:
        try:
            pool.apply(int)
        except mp.InitializerFailed as error:
            print(type(error).__name__)
""")
    done = launch(path, cwd=tmp_path)
    assert done.stdout.splitlines() == ["code 1", "InitializerFailed"]
    assert "RuntimeError: a process was started while this one, itself a child" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr
    # No child has children: a few attempts, and the pool gives up.
    assert 1 < done.stderr.count("RuntimeError: ") < 20


def test_a_session_without_a_file(method: str, tmp_path: Path) -> None:
    done = launch(
        "-",
        cwd=tmp_path,
        stdin=f"""
import code
session = code.InteractiveConsole(locals=vars(__import__("__main__")))
lines = '''
import procession as mp
ctx = mp.get_context({method!r})
factor = 3
def times(number):
    return number * factor

class Thing:
    pass

with ctx.Pool(1) as pool:
    print(pool.map(times, [1, 2]), type(pool.apply(Thing)) is Thing)
    factor = 4

process = ctx.Process(target=lambda: print(times(5)))
process.start(); process.join()
'''
for line in lines.splitlines():
    session.push(line)
session.push("")
""",
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-2:] == ["[3, 6] True", "20"]
