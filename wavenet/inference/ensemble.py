"""Several trained networks in one checkpoint: :class:`wavenet.network.layers.Ensemble`. Needs torch alone."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from wavenet.corpus.download import path_to_record
from wavenet.inference.checkpoint import MOST_MEMBERS, NETWORK, TRAINED_ON, Record, hyper_parameters, read_record, stamp
from wavenet.inference.trained_on import TrainedOn
from wavenet.network.config import NetworkConfig


def ensemble(paths: Sequence[Path]) -> dict[str, Any]:
    """The content of a checkpoint whose probabilities are the mean of those of others.

    It loads, samples, scores and is ranked like any other, in the time of all its members together.

    Args:
        paths: The checkpoints of the members, which may have networks of any kind and size.

    Returns:
        Plain data, for :func:`wavenet.inference.checkpoint.write_checkpoint`.

    Raises:
        OSError, CheckpointError: A file cannot be read, or holds no whole model.
        ValueError: There are too few members or too many; one is an ensemble itself, or a network of the user's own;
            or they differ in alphabet, labels, the words that they were trained on, or how these were split.

    Examples:
        >>> content = ensemble([Path("runs/a/version_0/checkpoints/best.ckpt"), Path("b.ckpt")])  # doctest: +SKIP
    """
    if not 1 < len(paths) <= MOST_MEMBERS:
        raise ValueError(f"an ensemble has from 2 to {MOST_MEMBERS} members, got {len(paths)}")
    records = [read_record(path) for path in paths]
    configs = [config_of(record, path) for record, path in zip(records, paths, strict=True)]
    for record, path in zip(records[1:], paths[1:], strict=True):
        check_alike(record, path, records[0], paths[0])
    weights = {
        f"{NETWORK}{number}.{name}": value
        for number, record in enumerate(records)
        for name, value in record.weights.items()
    }
    settings = hyper_parameters(records[0].alphabet, configs, {}, records[0].label_counts)
    content: dict[str, Any] = {"state_dict": weights, "hyper_parameters": settings}
    stamp(content)
    trained_on = records[0].trained_on
    if trained_on is not None:
        content[TRAINED_ON] = asdict(replace(trained_on, path=path_to_record(Path(trained_on.path))))
    return content


def config_of(record: Record, path: Path) -> NetworkConfig:
    """The hyper-parameters of a member.

    Raises:
        ValueError: It cannot be one.
    """
    if isinstance(record.network, NetworkConfig):
        return record.network
    kind = "a network of the user's own" if record.network is None else "an ensemble itself"
    raise ValueError(f"{path} holds {kind}: expected checkpoints of single networks that the command line trains")


def check_alike(record: Record, path: Path, first: Record, first_path: Path) -> None:
    """Raises a ValueError if a member differs from the first one in what all must have alike."""
    if record.alphabet != first.alphabet:
        raise ValueError(
            f"{path} and {first_path} know different characters: expected members with one alphabet, "
            f"got {shown(record.alphabet)} and {shown(first.alphabet)}"
        )
    if record.label_counts != first.label_counts:
        raise ValueError(f"{path} and {first_path} know different labels: expected members with the same")
    if (got := identity(record.trained_on)) != (expected := identity(first.trained_on)):
        raise ValueError(
            f"{path} and {first_path} were trained on different words: expected members of one corpus and split, "
            f"got {got} and {expected}"
        )


def identity(trained_on: TrainedOn | None) -> str:
    """What says whether two networks were trained on the same words."""
    if trained_on is None:
        return "words that are not known"
    deduplicated = ", deduplicated" if trained_on.deduplicate else ""
    return f"SHA-256 {trained_on.sha256}, split_seed {trained_on.split_seed}{deduplicated}"


def shown(alphabet: str) -> str:
    """An alphabet, or the beginning of a long one."""
    return f"{len(alphabet)} characters ({alphabet if len(alphabet) <= 60 else alphabet[:60] + '...'})"
