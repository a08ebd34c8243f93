"""A page of the guides, whose lines of Python are run as printed."""

from __future__ import annotations

import ast
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]


class Page:
    """One of ``docs/guides``, or another page of the repository."""

    def __init__(self, name: str, folder: str = "docs/guides") -> None:
        self.path = REPOSITORY / folder / name
        text = self.path.read_text(encoding="utf-8")
        self.blocks: list[str] = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    def block(self, with_text: str) -> str:
        """The one block that has this text."""
        found = [block for block in self.blocks if with_text in block]
        assert len(found) == 1, f"{len(found)} blocks of {self.path.name} have {with_text!r}"
        return found[0]

    def run(self, block: str, names: dict[str, Any], instead: Mapping[str, str] | None = None) -> list[Any]:
        """Run a block as a module with these names, with some texts replaced: the values of its lines that are expressions."""
        for text, other in (instead or {}).items():
            block = block.replace(text, other)
        module = types.ModuleType("guide")
        module.__dict__.update(names)
        # Frameworks look up what annotations mean in the module of a function.
        sys.modules["guide"] = module
        values: list[Any] = []
        for line in ast.parse(block, str(self.path)).body:
            if isinstance(line, ast.Expr):
                values.append(eval(compile(ast.Expression(line.value), str(self.path), "eval", dont_inherit=True), module.__dict__))
            else:
                exec(compile(ast.Module([line], []), str(self.path), "exec", dont_inherit=True), module.__dict__)
        names.update(module.__dict__)
        return values
