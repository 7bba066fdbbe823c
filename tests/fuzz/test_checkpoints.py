"""Random checkpoints: files whose bytes are changed, and contents of which a part is; each is used or refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import strategies as st

from tests.fuzz.test_inputs import VALUES, fuzz
from wavenet.inference.checkpoint import CheckpointError, load, read_checkpoint
from wavenet.training.checks import record_to_use

SHARES = [pytest.param(60, id="some"), pytest.param(10_000, id="all", marks=pytest.mark.campaign)]
PLACES = st.floats(0, 1, exclude_max=True)  # in a file or a list, from its start to its end
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "cut", "insert", "repeat"]), PLACES, st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=3,
)
TENSORS = st.builds(
    lambda shape, dtype, fill: torch.full(shape, fill).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64, torch.uint8]),
    st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf"), 1e30]),
)
PARTS = st.one_of(VALUES, TENSORS, st.integers(), st.just("remove"), st.just("empty"))


def assert_used_or_refused(path: Path, going_on: bool) -> None:
    try:
        record_to_use(str(path), going_on=True) if going_on else load(path)
    except CheckpointError as error:
        assert str(path) in str(error)
        assert len(str(error)) < 3_000


@pytest.mark.parametrize("count", SHARES)
def test_bytes(count: int, tiny_run: Path, tmp_path: Path) -> None:
    whole, path = (tiny_run / "checkpoints" / "last.ckpt").read_bytes(), tmp_path / "x.ckpt"

    def check(given: tuple[list[tuple[str, float, bytes]], bool]) -> None:
        (changes, going_on), content = given, whole
        for kind, place, new in changes:
            at = int(place * len(content))
            content = {
                "put": content[:at] + new + content[at + len(new) :],
                "cut": content[:at],
                "insert": content[:at] + new + content[at:],
                "repeat": content[:at] + content[at // 2 :],
            }[kind]
        path.write_bytes(content)
        assert_used_or_refused(path, going_on)

    fuzz(count, st.tuples(CHANGES, st.booleans()), check)


def containers(content: Any) -> list[tuple[Any, Any]]:
    """All mappings and lists in a content, with the keys of what they hold."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [(content, key) for key in keys] + [pair for key in keys for pair in containers(content[key])]


@pytest.mark.parametrize("count", SHARES)
def test_contents(count: int, tiny_run: Path, tmp_path: Path) -> None:
    whole, path = read_checkpoint(tiny_run / "checkpoints" / "last.ckpt"), tmp_path / "x.ckpt"

    def check(given: tuple[list[tuple[float, Any]], bool]) -> None:
        (changes, going_on), content = given, deepcopy(whole)
        for place, new in changes:
            if not (found := containers(content)):
                break
            container, key = found[int(place * len(found))]
            if isinstance(new, str) and new == "remove":
                del container[key]
            else:
                container[key] = type(container[key])() if isinstance(new, str) and new == "empty" else new
        torch.save(content, path)
        assert_used_or_refused(path, going_on)

    parts = st.lists(st.tuples(PLACES, PARTS), min_size=1, max_size=2)
    fuzz(count, st.tuples(parts, st.booleans()), check)
