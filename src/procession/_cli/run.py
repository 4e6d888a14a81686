"""Runs a script, a module or a text as ``__main__``, as the interpreter itself would.

The program gets a ``__main__`` of its own, in place of ours, so that its functions pickle by name.
What it raises goes on to the interpreter, which does what it always does: a SystemExit becomes the
exit code, anything else a traceback and 1, and KeyboardInterrupt an end by SIGINT. Only our own
frames are cut from the traceback.
"""

from __future__ import annotations

import builtins
import marshal
import os
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType, TracebackType

_NO_SUCH_FILE = 2  # the interpreter's exit code for a script that it cannot open

# In one of the first two lines, after nothing but comments (PEP 263).
_ENCODING = re.compile(rb"(?:[ \t\f]*(?:#[^\r\n]*)?\r?\n)?[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")

_kept = sys.modules["__main__"]
"""The module of our own start: its code runs still."""


def run_script(path: str, arguments: Sequence[str]) -> None:
    """Run a file; or, in a directory or a zip file, its ``__main__`` module."""
    sys.argv[:] = [path, *arguments]
    absolute = os.getcwd() if path in ("", ".") else os.path.join(os.getcwd(), path)
    if _is_container(absolute):
        # This one is prepended whatever -P says, as it is by the interpreter.
        _replace_first_path(None)
        sys.path.insert(0, absolute)
        _become_main()
        _execute(lambda: _run_module("__main__", alter_argv=False))
        return
    code_bytes = _read(absolute)
    _replace_first_path(os.path.dirname(os.path.realpath(absolute)))
    compiled = code_bytes.startswith(MAGIC_NUMBER)
    main = _become_main()
    main.__file__ = absolute
    main.__cached__ = None  # type: ignore[attr-defined]
    main.__loader__ = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", absolute)
    _execute(lambda: exec(_compile(code_bytes, absolute), vars(main)))


def run_module(name: str, arguments: Sequence[str]) -> None:
    """Run a module, or a package's ``__main__`` module, that is found by its name."""
    sys.argv[:] = ["-m", *arguments]
    _replace_first_path(os.getcwd())
    _become_main()
    _execute(lambda: _run_module(name, alter_argv=True))


def run_text(text: str, arguments: Sequence[str]) -> None:
    """Run a text."""
    sys.argv[:] = ["-c", *arguments]
    _replace_first_path("")
    main = _become_main()
    main.__loader__ = BuiltinImporter
    _execute(lambda: exec(compile(text, "<string>", "exec", dont_inherit=True), vars(main)))


def _run_module(name: str, *, alter_argv: bool) -> None:
    # What `python -m` itself calls; the public run_module() cleans up the program's module when
    # it returns, while threads and exit functions may still need it.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _become_main() -> ModuleType:
    main = ModuleType("__main__")
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    vars(main)["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _replace_first_path(path: str | None) -> None:
    """Put the program's place where the interpreter has put ours."""
    if sys.flags.safe_path:
        return  # there is neither
    del sys.path[:1]
    if path is not None:
        sys.path.insert(0, path)


def _is_container(path: str) -> bool:
    """Whether modules can be imported from it: a directory, a zip file."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as script:
            return script.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {path!r}: {reason}", file=sys.stderr)
        sys.exit(_NO_SUCH_FILE)


def _compile(content: bytes, path: str) -> CodeType:
    if content.startswith(MAGIC_NUMBER):
        header = 16
        code: CodeType = marshal.loads(memoryview(content)[header:])
        return code
    _check_encoding(content, path)
    if b"\0" in content:
        # Of this, some versions of compile() make a ValueError.
        before = content.partition(b"\0")[0].decode(errors="replace").split("\n")
        place = (path, len(before), None, before[-1])
        raise SyntaxError("source code cannot contain null bytes", place)
    return compile(content, path, "exec", dont_inherit=True)


def _check_encoding(content: bytes, path: str) -> None:
    """Raise the interpreter's SyntaxError for a file that is neither UTF-8 nor says what it is."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if _ENCODING.match(content):
            return
        byte, line = content[error.start], content[: error.start].count(b"\n") + 1
        raise SyntaxError(
            f"Non-UTF-8 code starting with '\\x{byte:02x}' in file {path} on line {line}, but no "
            "encoding declared; see https://peps.python.org/pep-0263/ for details"
        ) from None


def _execute(body: Callable[[], None]) -> None:
    try:
        body()
    except SystemExit:
        raise
    except BaseException as error:
        inner = error.__traceback__
        while inner is not None and inner.tb_frame.f_globals is globals():
            inner = inner.tb_next
        _cut_traceback(inner)
        raise


def _cut_traceback(program: TracebackType | None) -> None:
    """Let the interpreter's report, which is to come, begin with the program's first frame."""
    report = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        sys.excepthook = report
        sys.last_traceback = program
        report(kind, error.with_traceback(program), program)

    sys.excepthook = excepthook
