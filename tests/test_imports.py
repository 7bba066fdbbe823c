import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

WITH_LIGHTNING = {"callbacks", "cli", "data", "health", "module", "report", "terminal"}
WITHOUT_TORCH = {"__init__", "__main__", "commands", "corpus", "options", "output", "vocabulary"}
ORDER = [
    "vocabulary", "corpus", "patterns", "layers", "networks", "exhibits", "sliding", "datasets", "distribution",
    "generation", "search", "scoring", "model", "checkpoint", "output", "options", "commands", "__main__",
    "data", "module", "checks", "terminal", "callbacks", "health", "report", "cli",
]  # fmt: skip
MODULES = {path.stem: path for path in sorted((ROOT / "wavenet").glob("*.py"))}


def imports(name: str) -> set[str]:
    """Dotted names that a module imports when it is imported."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_every_module_has_its_place() -> None:
    assert {*ORDER, "__init__"} == set(MODULES)


@pytest.mark.parametrize("name", ORDER)
def test_imports_run_one_way(name: str) -> None:
    ours = {module.removeprefix("wavenet.") for module in imports(name) if module.startswith("wavenet.")}
    assert ours <= set(ORDER[: ORDER.index(name)])


@pytest.mark.parametrize("name", MODULES)
def test_who_imports_torch_and_lightning(name: str) -> None:
    packages = {module.split(".")[0] for module in imports(name)}
    if name not in WITH_LIGHTNING:
        assert not packages & {"lightning", "torchmetrics", "tensorboard"}
    if name in WITHOUT_TORCH:
        assert "torch" not in packages


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import wavenet, wavenet.corpus", ["torch", "lightning"]),
        (
            "import wavenet.commands",
            ["lightning", "tensorboard", "torchmetrics"],
        ),
    ],
)
def test_imports_stay_light(statement: str, unwanted: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_resolve_on_first_use() -> None:
    import wavenet

    for name in wavenet.__all__:
        assert getattr(wavenet, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wavenet.nothing
