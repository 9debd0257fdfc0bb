"""The rooms and their floors: an import goes down, never up or sideways, and the readers need no engine."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from variants.paths import ROOT

LEAVES = ("bench.files", "bench.terminal", "variants.data.text", "variants.errors", "variants.paths")
"""What every room may import."""
READERS = ("records", "stats", "metrics", "summary", "compare", "history", "advise", "report")
"""The right wing: it reads records, and runs where no engine is installed."""
ENGINES = ("torch", "llama_cpp", "transformers", "peft", "lm_eval", "bitsandbytes", "hydra", "omegaconf")
RIGHT = ("metrics", "records", "stats")
FLOORS: Mapping[str, tuple[str, ...]] = {
    "variants": (),
    "stats": (),
    "machine": ("variants",),
    "runtimes": ("variants",),
    "records": ("machine.git",),
    "scoring": ("runtimes", "machine", "variants"),
    "metrics": ("records", "stats"),
    "tasks": ("scoring", "variants"),
    "summary": RIGHT,
    "steps": ("tasks", "scoring", "runtimes", "variants"),
    "measures": ("steps", "tasks", "scoring", "runtimes", "machine", "variants"),
    "compare": ("summary", *RIGHT, "machine.git"),
    "history": ("summary", *RIGHT, "machine.git"),
    "advise": ("summary", *RIGHT, "machine.git"),
    "sweep": ("measures", "tasks", "runtimes", "records", "machine", "variants"),
    "report": ("compare", "history", "advise", "summary", *RIGHT),
}
"""What each room may import: rooms below it alone, so that there is no circle. The rooms not named may import all."""
TOP = ("commands", "selftest")
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FILE, MODULES = 300, 50, 120, 12


@dataclass(frozen=True)
class Import:
    """One imported module, and where it is imported."""

    file: Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(file: Path) -> Iterator[Import]:
    """Yield the imports of a file, those inside functions too; `from package import module` names the module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                is_module = any((ROOT / module.replace(".", "/")).with_suffix(s).exists() for s in (".py", ""))
                yield Import(file, node.lineno, module if is_module else node.module)


def room_of(module: str) -> str:
    """Return the room of a module, empty for what is in none (cli, bootstrap, files, terminal, examples)."""
    parts = module.split(".")
    if parts[0] == "variants":
        return "variants"
    return parts[1] if len(parts) > 1 and (ROOT / "bench" / parts[1] / "__init__.py").exists() else ""


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def forbidden(one: Import) -> bool:
    """Say whether an import goes up or sideways."""
    room, module = room_of(module_of(one.file)), one.module
    if module.split(".")[0] not in ("bench", "variants") or module.startswith(LEAVES) or room in ("", *TOP):
        return False
    allowed = FLOORS[room]
    within = any((module + ".").startswith(f"bench.{name}.") for name in allowed)
    return not (room_of(module) == room or within or (room_of(module) == "variants" and "variants" in allowed))


def test_every_room_has_a_floor() -> None:
    rooms = {path.name for path in (ROOT / "bench").iterdir() if (path / "__init__.py").exists()}
    assert rooms == (FLOORS.keys() - {"variants"}) | set(TOP)


def test_no_import_goes_up_or_sideways() -> None:
    violations = [str(one) for file in sources("bench", "variants") for one in imports(file) if forbidden(one)]
    assert not violations, "\n".join(["an import goes up or sideways (see FLOORS):", *violations])


def test_the_floors_have_no_circle() -> None:
    done: list[str] = []
    while rest := FLOORS.keys() - set(done):
        free = [room for room in rest if all(name.partition(".")[0] in done for name in FLOORS[room])]
        assert free, f"a circle among {', '.join(sorted(rest))}"
        done += free


def test_modules_of_a_room_import_each_other_in_no_circle() -> None:
    below = {
        module_of(file): {one.module for one in imports(file) if one.module != module_of(file)}
        for file in sources("bench", "variants")
    }
    while True:
        free = [module for module, needs in below.items() if not needs & below.keys()]
        if not free:
            break
        for module in free:
            del below[module]
    packages = {module for module in below if (ROOT / module.replace(".", "/")).is_dir()}
    circle = {module: sorted(needs & below.keys() - packages) for module, needs in below.items()}
    assert not {module: needs for module, needs in circle.items() if needs}, circle


@pytest.mark.parametrize("room", READERS)
def test_readers_import_no_engine_and_no_maker_of_variants(room: str) -> None:
    makers = [
        str(one)
        for file in sources(f"bench/{room}")
        for one in imports(file)
        if one.module.split(".")[0] in (*ENGINES, "variants") and not one.module.startswith(LEAVES)
    ]
    assert not makers, "\n".join(makers)


def test_bench_imports_variants_and_never_the_reverse() -> None:
    upward = [str(one) for file in sources("variants") for one in imports(file) if one.module.startswith("bench")]
    assert not upward, "\n".join(upward)


def test_no_source_imports_a_test() -> None:
    upward = [str(o) for file in sources("bench", "variants") for o in imports(file) if o.module.startswith("tests")]
    assert not upward, "\n".join(upward)


def test_files_and_functions_are_short_and_folders_few() -> None:
    files = sources("bench", "variants")
    lengths = {file: len(file.read_text().splitlines()) for file in files}
    long = [f"{file.relative_to(ROOT)}: {n} lines" for file, n in lengths.items() if n > LONGEST_FILE]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                n = node.end_lineno - node.lineno + 1
                long += (
                    [f"{file.relative_to(ROOT)}:{node.lineno} {node.name}: {n} lines"] if n > LONGEST_FUNCTION else []
                )
    assert not long, "\n".join(long)
    counted = sorted(n for file, n in lengths.items() if file.name != "__init__.py")
    assert counted[len(counted) // 2] <= MEDIAN_FILE
    modules: dict[Path, int] = {}
    for file in files:
        modules[file.parent] = modules.get(file.parent, 0) + (file.name != "__init__.py")
    crowded = [f"{folder.relative_to(ROOT)}: {n} modules" for folder, n in modules.items() if n > MODULES]
    assert not crowded, "\n".join(crowded)


def test_any_stands_at_borders_alone() -> None:
    words = [node for file in sources("bench", "variants") for node in ast.walk(ast.parse(file.read_text()))]
    imported = sum(alias.name == "Any" for node in words if isinstance(node, ast.ImportFrom) for alias in node.names)
    used = sum(isinstance(node, ast.Name) and node.id == "Any" for node in words)
    assert imported + used <= 80
