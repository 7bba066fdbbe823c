"""What a checkpoint records, written and read here alone. It is read safely, and without the code that trained it."""

import pickle
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

import wavenet
from wavenet.corpus.download import find_corpus
from wavenet.corpus.labels import Labels
from wavenet.corpus.parsing import CONTROL
from wavenet.corpus.vocabulary import Vocabulary
from wavenet.errors import ArgumentError
from wavenet.inference.archive import ArchiveError, check_archive
from wavenet.inference.model import TrainedModel
from wavenet.inference.trained_on import TrainedOn
from wavenet.inference.weights import check_finite_logits, check_shape, check_weights
from wavenet.network.build import build
from wavenet.network.config import NetworkConfig
from wavenet.runs import open_regular, whole_file

FORMAT = 5
"""Raised when older versions could not read what is written; :func:`upgraded` reads what they wrote."""

TRAINED_ON = "WordsDataModule"  # the entry that says what a network was trained on, as Lightning names it
MOST_MEMBERS = 64  # of an ensemble
NETWORK = "network."  # what the names of a network's weights begin with


class CheckpointError(ValueError):
    """A file is not a checkpoint of this package, or one that must not be opened."""


@dataclass(frozen=True)
class Record:
    """What a checkpoint says of its network, as far as this package reads it.

    ``network`` is ``None`` for a network of the user's own, and has several configs for an ensemble; ``trained_on`` is
    ``None`` for one trained on other data, ``labels`` for a network that knows none.
    """

    alphabet: str
    network: NetworkConfig | Sequence[NetworkConfig] | None
    optimization: Mapping[str, Any]
    trained_on: TrainedOn | None
    labels: Labels | None
    weights: Mapping[str, torch.Tensor]

    @property
    def label_counts(self) -> dict[str, int] | None:
        """How many training words have each label."""
        return None if self.labels is None else self.labels.counts


def hyper_parameters(
    alphabet: str,
    network: NetworkConfig | Sequence[NetworkConfig] | None,
    optimization: Mapping[str, Any],
    labels: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The hyper-parameters of a checkpoint: plain data, from which Lightning makes the module again."""
    plain: Any = None
    if network is not None:
        plain = asdict(network) if isinstance(network, NetworkConfig) else [asdict(member) for member in network]
    known = {"labels": dict(labels)} if labels else {}
    return {"alphabet": alphabet, "network": plain, "optimization": dict(optimization), **known}


def network_of(plain: Any) -> NetworkConfig | Sequence[NetworkConfig] | None:
    """The network that hyper-parameters describe: the way back of :func:`hyper_parameters`.

    Raises:
        ValueError, TypeError: They describe none.
    """
    if not isinstance(plain, list):
        return None if plain is None else NetworkConfig.of(plain)
    if not 1 < len(plain) <= MOST_MEMBERS:
        raise ValueError(f"an ensemble has from 2 to {MOST_MEMBERS} members, this one has {len(plain):,}")
    return [NetworkConfig.of(member) for member in plain]


def stamp(content: dict[str, Any]) -> None:
    """Says in a checkpoint which format it has, and who wrote it."""
    content["format"], content["wavenet_version"] = FORMAT, wavenet.__version__


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Writes a checkpoint whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path, "wb") as file:
        torch.save(content, file)


def read_plain(path: Path, what: str, expected: str) -> Any:
    """What ``torch.save`` has written to a file, on the CPU, if it is plain data; nothing in it is ever executed.

    Args:
        path: The file.
        what: What it should be, for the messages: ``a checkpoint``.
        expected: The same, more exactly.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        CheckpointError: The file is truncated, or holds a pickled object that is not plain data.
    """
    if not path.exists():
        raise FileNotFoundError(f"{what.split()[-1]} not found: {path}")
    with open_regular(path, f"{what} file") as file:
        try:
            check_archive(file)
            return torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except (ValueError, pickle.UnpicklingError) as error:
            reason = error if isinstance(error, ArchiveError) else "it holds what is not plain data"
            raise CheckpointError(f"{path} was refused: {reason}; nothing in it was executed") from None
        except Exception as error:  # torch.load has no error class of its own for what is not a checkpoint
            raise CheckpointError(f"{path} is truncated or not {what}: expected {expected}") from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU. Only plain data is read; nothing in the file is ever executed.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        CheckpointError: The file is truncated, is not a checkpoint, holds a pickled object that is not plain data, or
            was written by a newer version.
    """
    content: dict[str, Any] = read_plain(Path(path), "a checkpoint", "a .ckpt file written by training")
    missing = {"state_dict", "hyper_parameters"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise CheckpointError(f"{path} is not a wavenet checkpoint: expected the entries {', '.join(sorted(missing))}")
    found = content.get("format", 1)
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        writer = content.get("wavenet_version", "of an unknown version")
        found, writer = (x if isinstance(x, int | str | None) else reprlib.repr(x) for x in (found, writer))
        raise CheckpointError(
            f"{path} has format {found}, written by wavenet {writer}: "
            f"this is wavenet {wavenet.__version__}, which reads formats 1 to {FORMAT}; install a newer one"
        )
    if found > 1:  # format 2 has one network, never an ensemble
        return content
    with whole_model_expected(path):
        return upgraded(content)


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint of format 1 (version 0.1.0), as the present one has it.

    There every hyper-parameter stood beside the others, networks were named, and a hidden layer of the network
    ``gated`` was one module; its weights come in the same order.
    """
    old = content["hyper_parameters"]
    kinds: dict[str, dict[str, Any]] = {
        "wavenet": {"activation": "tanh", "residual": False},
        "wavenet_batch_norm_bug": {"activation": "tanh", "residual": False, "norm": "batch_per_position"},
        "gated": {"activation": old["activation"] or "gate", "norm": old["norm"] or "batch", "residual": True},
    }
    sizes = ("block_size", "group_size", "embedding_dim", "hidden_dim", "logits_norm")
    values = {name: old[name] for name in sizes} | kinds[old["network"]] | {"dropout": old["dropout"] or 0.0}
    network = NetworkConfig.of(values)
    names = build(network, len(Vocabulary(old["alphabet"]))).state_dict()
    state_dict = {NETWORK + name: value for name, value in zip(names, content["state_dict"].values(), strict=True)}
    optimization = {name: old[name] for name in ("optimizer", "learning_rate", "weight_decay", "schedule")}
    return content | {
        "state_dict": state_dict,
        "hyper_parameters": hyper_parameters(old["alphabet"], network, optimization),
        "format": FORMAT,
    }


@contextmanager
def whole_model_expected(path: str | Path) -> Iterator[None]:
    """Makes a :class:`CheckpointError` of what goes wrong when the content of a checkpoint is used."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, AttributeError) as error:
        reason = repr(error).split(r"\n")[0]  # torch appends where in its own code it was
        raise CheckpointError(f"{path} does not hold a whole model of this version: {reason}") from error


def renamed(weights: Mapping[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """The weights by the names that they have in a module of the same shape, whatever its dropout.

    Layers are numbered, so a network with dropout has other names than the same one without; the order is the same.

    Raises:
        ValueError: There are more or fewer weights than in the module.
    """
    return dict(zip(module.state_dict(), weights.values(), strict=True))


def record_of(content: Mapping[str, Any], path: str | Path) -> Record:
    """What the content of a checkpoint says of its network, and where its corpus is now: see :func:`find_corpus`.

    Raises:
        KeyError, TypeError, ValueError: Something is missing or wrong.
    """
    settings = content["hyper_parameters"]
    alphabet = settings["alphabet"]
    if not isinstance(alphabet, str) or CONTROL.search(alphabet):
        raise TypeError(f"the alphabet is {reprlib.repr(alphabet)}")
    if not isinstance(settings["optimization"], dict):
        raise TypeError(f"the optimization is {reprlib.repr(settings['optimization'])}")
    weights = content["state_dict"]
    check_weights(weights)
    trained_on = TrainedOn.of(content[TRAINED_ON]) if TRAINED_ON in content else None
    if trained_on is not None:
        corpus = find_corpus(trained_on.path, trained_on.sha256, Path(path))
        trained_on = replace(trained_on, path=str(corpus))
    network = network_of(settings["network"])
    labels = Labels.of_plain(settings["labels"]) if "labels" in settings else None
    if network is not None:
        check_shape(network, len(Vocabulary(alphabet)), weights, len(labels or ()))
    return Record(
        alphabet=alphabet,
        network=network,
        optimization=dict(settings["optimization"]),
        trained_on=trained_on,
        labels=labels,
        weights={name.removeprefix(NETWORK): value for name, value in weights.items()},
    )


def read_record(path: str | Path) -> Record:
    """What a checkpoint says of its network.

    Raises:
        OSError, CheckpointError: See :func:`read_checkpoint`; or the file does not hold a whole model.
    """
    content = read_checkpoint(path)
    with whole_model_expected(path):
        return record_of(content, path)


def load(path: str | Path, network: nn.Sequential | None = None) -> TrainedModel:
    """The model of a checkpoint, on the CPU, ready to sample and score.

    Args:
        path: A checkpoint that training or ``wavenet ensemble`` has written.
        network: A network of the kind that was trained, to be filled with the weights, if it is not one that
            :class:`wavenet.NetworkConfig` describes.

    Raises:
        OSError: The file is missing, a directory or unreadable.
        CheckpointError: See :func:`read_checkpoint`; or the file's settings and weights do not make a model.
        ArgumentError: The checkpoint is of a network of the user's own, and ``network`` is not given.

    Examples:
        >>> model = load("runs/default/version_0/checkpoints/best.ckpt")  # doctest: +SKIP
        >>> model.sample(3, prefix="ma", unique=True, seed=1)  # doctest: +SKIP
        ['marius', 'mackenna', 'maelin']
    """
    record = read_record(path)
    if network is None and record.network is None:
        raise ArgumentError("network", f"must be given: {path} holds the weights of a network of the user's own")
    with whole_model_expected(path):
        vocabulary = Vocabulary(record.alphabet)
        if network is None:
            config = cast(NetworkConfig | Sequence[NetworkConfig], record.network)
            network = build(config, len(vocabulary), len(record.labels or ()))
        network.load_state_dict(dict(record.weights))
        check_finite_logits(network, len(vocabulary))
    return TrainedModel(network, vocabulary, record.trained_on, record.labels)
