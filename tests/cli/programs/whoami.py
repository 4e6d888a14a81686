"""What a program can see of how it was started."""

from __future__ import annotations

import sys


def function() -> None: ...


main = sys.modules["__main__"]
for name, value in list(vars(main).items()):
    kind = type(value).__name__
    print(name, value if isinstance(value, str | None | dict) and name != "__dict__" else kind)
print("spec", getattr(globals()["__spec__"], "name", None))
print("functions pickle by name", main.function is function)
print("argv", sys.argv)
print("path[0]", sys.path[0])
print("stdin", sys.stdin.read())
