"""The rooms of the package and what each of them may import."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FLOORS = {"errors": 0, "runs": 0, "extras": 1, "corpus": 1, "network": 2, "inference": 3, "training": 4, "export": 4}
FLOORS |= {"experiments": 5, "commands": 6}
HEAVY = {"lightning", "torchmetrics", "tensorboard"}
READS = {"experiments": {"tensorboard"}}  # the curves that training has written
WITHOUT_TORCH = {"corpus", "extras", "runs", "errors", "wavenet", "__main__"}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "wavenet").rglob("*.py"))
}


def imports(module: str) -> set[str]:
    """Dotted names that a module imports, inside functions too; ``from a import b`` counts as a.b where that is a
    module, and as a otherwise. Imports for type checking alone count as well."""
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


def room(module: str) -> str:
    """The room of a module of the package, or its own name if it stands at the top."""
    return module.split(".")[1] if "." in module else module


def ours(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    return {name for name in imports(module) if name == "wavenet" or name.startswith("wavenet.")}


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in MODULES} - {"wavenet", "__main__"} <= set(FLOORS)


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in FLOORS])
def test_imports_run_down(module: str) -> None:
    for name in ours(module) - {"wavenet"}:
        if room(name) != room(module):
            assert FLOORS[room(name)] < FLOORS[room(module)], f"{module} imports {name}"
        if room(module) == "network" and room(name) == "corpus":
            assert name == "wavenet.corpus.vocabulary"


@pytest.mark.parametrize("floor", FLOORS)
def test_no_circle_inside_a_room(floor: str) -> None:
    waiting = {module: {name for name in ours(module) if room(name) == floor} for module in MODULES}
    waiting = {module: names for module, names in waiting.items() if room(module) == floor}
    done: set[str] = set()
    while free := [module for module, names in waiting.items() if names <= done]:
        done |= set(free)
        waiting = {module: names for module, names in waiting.items() if module not in done}
    assert not waiting


@pytest.mark.parametrize("module", MODULES)
def test_who_imports_torch_and_lightning(module: str) -> None:
    packages = {name.split(".")[0] for name in imports(module)}
    if room(module) != "training":
        assert not packages & (HEAVY - READS.get(room(module), set()))
    if room(module) in WITHOUT_TORCH:
        assert "torch" not in packages


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import wavenet, wavenet.corpus.reading", ["torch", "lightning"]),
        ("import wavenet.commands.main", ["torch", "lightning"]),
        ("import wavenet.commands.export, wavenet.commands.sample, wavenet.commands.score", ["torch", "lightning"]),
        ("import wavenet.inference.checkpoint, wavenet.inference.search", ["lightning", "tensorboard", "torchmetrics"]),
    ],
)
def test_imports_stay_light(statement: str, unwanted: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_shows_what_it_exports() -> None:
    import wavenet

    submodules = {name for name in FLOORS if f"wavenet.{name}" in sys.modules}
    assert {name for name in dir(wavenet) if not name.startswith("__")} == {*wavenet.__all__, *submodules}
    assert {"__version__", "__all__", "__doc__"} <= set(dir(wavenet))


def test_public_names_resolve_on_first_use() -> None:
    import wavenet

    for name in wavenet.__all__:
        assert getattr(wavenet, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wavenet.nothing
