"""Write docs/api.md from the docstrings of the public names: `python docs/make_api.py`, or with `--check` see whether
it is up to date.

It reads the source text and imports nothing of it, so it needs Python alone.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/api.md"
PARTS = {
    "Extractors": (
        "DataExtractor",
        "StatefulDataExtractor",
        "DatabricksDataExtractor",
        "StatefulDatabricksDataExtractor",
    ),
    "What is asked for": (
        "Table",
        "RunChoices",
        "TableKeys",
        "EntryKeys",
        "SectionKeys",
        "ExtractorKeys",
        "RunOptions",
    ),
    "What came of it": (
        "RunReport",
        "BackfillReport",
        "TableHistory",
        "PastExtraction",
        "HistoryGap",
        "HistoryOverlap",
        "TableReport",
        "Outcome",
        "Failure",
        "FailureKind",
        "ExitCode",
        "RunStatus",
        "TableStatus",
        "PlanReport",
        "TableRef",
    ),
    "Events": (
        "RunEvents",
        "RunEvent",
        "RunStarted",
        "TableStateChanged",
        "TablePlanned",
        "RowsRead",
        "ChunkDone",
        "TableWaiting",
        "TableWarning",
        "TableEnded",
        "TableEnd",
        "RunEnded",
    ),
    "Reporters": ("Reporter", "LogReporter", "NullReporter"),
    "Errors": ("StatekeeperError", "ConfigError", "UsageError", "RunIncomplete"),
}
"""The order of the page. Names that are not imported from `statekeeper` are the keyword arguments of those that are."""
KEYWORDS = {
    "TableKeys": "statekeeper.api.keys",
    "EntryKeys": "statekeeper.api.keys",
    "SectionKeys": "statekeeper.api.keys",
    "ExtractorKeys": "statekeeper.api.keys",
    "RunOptions": "statekeeper.run.choices",
}
DESCRIBED_BY = {"TableKeys": "TableEntry", "EntryKeys": "TableEntry", "SectionKeys": None}
"""The part of schemas/json/config.json that says what keyword arguments are for; None is the whole."""
HEAD = """\
# The Python API

Made from the docstrings by `make api-docs`; do not edit it here. Further examples are in the
[README](../README.md#python), the keys of configurations in [configuration.md](configuration.md).

Everything here is imported from the package itself, and only when it is asked for:

```python
from statekeeper import StatefulDataExtractor

report = StatefulDataExtractor.from_config("configs/demo.yml").run()
report.raise_for_failure()
```

In a notebook, or in a service with an event loop, await the run; or loop over what happens in it:

```python
import asyncio

from statekeeper import ChunkDone, RunEnded, StatefulDataExtractor


async def extract():
    extractor = StatefulDataExtractor.from_config("configs/demo.yml")
    async with asyncio.timeout(3600):  # a run that takes longer ends cleanly, and a later one goes on from there
        return await extractor.run_async()


report = asyncio.run(extract())  # in a notebook: report = await extract()

for event in StatefulDataExtractor.from_config("configs/demo.yml").events(force_reprocess=True):
    match event:
        case ChunkDone(table=table, done=done, total=total, rows=rows, bytes=size):
            print(f"{table}: chunk {done} of {total}, {rows} rows in {size} bytes")
        case RunEnded(report=report):
            print(report.exit_code)
```
"""
Member: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign | ast.Assign
_NOT_FIELDS = frozenset({"model_config"})


def main(arguments: list[str]) -> int:
    """Write the page, or check it; returns the exit code."""
    page = api_page()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print("docs/api.md is not up to date\nnext, to write it anew: make api-docs", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def api_page() -> str:
    """The text of docs/api.md."""
    homes = public_names()
    listed = [name for names in PARTS.values() for name in names]
    if missing := {*homes} - {*listed}:
        raise SystemExit(f"docs/make_api.py does not say where on the page these belong: {', '.join(sorted(missing))}")
    texts = [HEAD]
    for title, names in PARTS.items():
        texts.append(f"## {title}\n")
        texts += [described(name, definition(name, (homes | KEYWORDS)[name])) for name in names]
    return "\n".join(texts)


def public_names() -> dict[str, str]:
    """The module that each public name is imported from, by the `_HOMES` of the package."""
    for node in tree_of("statekeeper").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            homes: dict[str, tuple[str, ...]] = ast.literal_eval(node.value)
            return {name: module for module, names in homes.items() for name in names}
    raise SystemExit("statekeeper/__init__.py has no _HOMES")


def tree_of(module: str) -> ast.Module:
    """The parsed source of a module."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def definition(name: str, module: str) -> ast.ClassDef | ast.AnnAssign:
    """Where a name is defined: in the module, or in the one that the module imports it from."""
    for node in tree_of(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return node
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return definition(name, node.module)
    raise SystemExit(f"{module} does not define {name}")


def described(name: str, node: ast.ClassDef | ast.AnnAssign) -> str:
    """One public name: its signature, what its docstring says, and its public members."""
    if isinstance(node, ast.AnnAssign):
        assert node.value is not None
        return f"### `{name}`\n\nAny of {_or_list(ast.unparse(node.value).split(' | '))}.\n"
    lines = [f"### `{name}`\n"]
    if bases := [base for base in map(ast.unparse, node.bases) if base in _LINKED]:
        lines.append(f"Extends {_or_list(bases)}.\n")
    init = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if init is not None:
        lines.append(f"```python\n{signature(name, init.args)}\n```\n")
    lines.append(prose(ast.get_docstring(node) or ""))
    fields = [*_fields(node)]
    if fields:
        lines.append("| name | type or value | |\n|---|---|---|\n" + "".join(fields))
    lines += [_method(each) for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return "\n".join(line for line in lines if line)


_LINKED = frozenset(name for names in PARTS.values() for name in names) - {"RunEvent"}


def _or_list(names: list[str]) -> str:
    return ", ".join(f"[`{name}`](#{name.lower()})" if name in _LINKED else f"`{name}`" for name in names)


def signature(name: str, given: ast.arguments) -> str:
    """A call as it is written, a line for each parameter where one line is too short."""
    parameters = copy_without_self(given)
    call = f"{name}({ast.unparse(parameters)})"
    if len(call) <= 100:
        return call
    parts = [part for part in _each(parameters) if part]
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def copy_without_self(given: ast.arguments) -> ast.arguments:
    """The parameters without `self` or `cls`."""
    args = given.args[1:] if given.args and given.args[0].arg in {"self", "cls"} else given.args
    return ast.arguments(
        posonlyargs=given.posonlyargs,
        args=args,
        vararg=given.vararg,
        kwonlyargs=given.kwonlyargs,
        kw_defaults=given.kw_defaults,
        kwarg=given.kwarg,
        defaults=given.defaults,
    )


def _each(given: ast.arguments) -> Iterator[str]:
    """The parameters, one by one, as they are written."""
    without = [None] * (len(given.args) - len(given.defaults))
    for argument, default in zip(given.args, [*without, *given.defaults], strict=True):
        yield _parameter(argument, default)
    if given.kwonlyargs:
        yield f"*{ast.unparse(given.vararg) if given.vararg else ''}"
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if given.kwarg:
        yield f"**{ast.unparse(given.kwarg)}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) if default is None else f"{ast.unparse(argument)} = {ast.unparse(default)}"


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """One public method or property with a docstring, or nothing."""
    doc = ast.get_docstring(node)
    if node.name.startswith("_") or doc is None:
        return ""
    decorators = {ast.unparse(each) for each in node.decorator_list}
    result = ast.unparse(node.returns) if node.returns else "None"
    if "property" in decorators:
        return f"#### `{node.name}: {result}`\n\n{prose(doc)}"
    kind = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    call = signature(f"{kind}{node.name}", node.args)
    return f"#### `{node.name}`\n\n```python\n{call} -> {result}\n```\n\n{prose(doc)}"


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """A row of a table for each field or member: its name, its type or value, what is said of it."""
    elsewhere = _described_elsewhere(node.name)
    is_enum = any(ast.unparse(base).endswith("Enum") for base in node.bases)
    for number, each in enumerate(node.body):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            name, what = each.target.id, ast.unparse(each.annotation)
        elif isinstance(each, ast.Assign) and is_enum:
            name, what = ast.unparse(each.targets[0]), ast.unparse(each.value)
        else:
            continue
        if name.startswith("_") or name in _NOT_FIELDS or what.startswith("ClassVar"):
            continue
        said = _said_after(node.body, number) or _keyword(each, "description") or elsewhere.get(name, "")
        cell = what.replace("|", "\\|")
        yield f"| `{name}` | `{cell}` | {said} |\n"


def _said_after(body: list[ast.stmt], number: int) -> str:
    """The text that stands as a statement below a field."""
    after = body[number + 1] if number + 1 < len(body) else None
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
        return " ".join(inspect.cleandoc(after.value.value).split())
    return ""


def _described_elsewhere(name: str) -> dict[str, str]:
    """What the configuration's JSON Schema says of the keys of the class `name`."""
    if name not in DESCRIBED_BY:
        return {}
    schema = json.loads((ROOT / "schemas/json/config.json").read_text(encoding="utf-8"))
    part = DESCRIBED_BY[name]
    found = schema if part is None else schema["$defs"][part]
    return {key: each.get("description", "") for key, each in found["properties"].items()}


def _keyword(node: ast.stmt, name: str) -> str:
    """The text that a pydantic field is given as `description=` or the like."""
    value = node.value if isinstance(node, ast.AnnAssign) else None
    for keyword in value.keywords if isinstance(value, ast.Call) else ():
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def prose(doc: str) -> str:
    """A docstring as Markdown: the sections `Raises:` and `Args:` become lists."""
    lines: list[str] = []
    is_list = False
    for line in inspect.cleandoc(doc).splitlines():
        if line in {"Raises:", "Args:", "Returns:"}:
            is_list = True
            lines += [f"*{line[:-1]}*", ""]
        elif is_list and re.match(r"    \S", line):
            name, colon, text = line.strip().partition(": ")
            lines.append(f"- `{name}`: {text}" if colon else f"- {line.strip()}")
        elif is_list and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
