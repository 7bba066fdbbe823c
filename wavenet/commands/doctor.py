"""``wavenet doctor``: what is installed here, and whether it works; made to be pasted into a report of a bug."""

from __future__ import annotations

import os
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from getpass import getuser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import wavenet
from wavenet.commands.main import COMMANDS, Parser, program
from wavenet.corpus.download import BUNDLED, DATA_DIR, NAMES_SHA256
from wavenet.corpus.reading import read_corpus
from wavenet.runs import find_checkpoint, newest_checkpoint

if TYPE_CHECKING:
    from wavenet.inference.model import TrainedModel

PACKAGES = ("torch", "lightning", "torchmetrics", "tensorboard", "jsonargparse")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
TOLERANCE = 1e-4  # of logits, which single precision computes
NUM_WORDS = 100  # that the three ways to run a network are compared on
BUSY = 1.25  # times the time that a loop computes, after which it should be through
LOOP = 0.3  # seconds that the loop computes


def main(name: str, arguments: list[str]) -> None:
    """Runs the command; the exit code is 1 if something does not work."""
    parser = Parser(prog=f"{program()} {name}", description=f"{COMMANDS[name].summary}.", allow_abbrev=False)
    parser.add_argument("--ckpt_path", metavar="PATH", help="a checkpoint, or a folder with runs; by default runs/")
    options = parser.parse_args(arguments)
    failed = 0
    for what, describe in (("versions", versions), ("system", system), ("devices", devices), ("threads", threads)):
        say(what, describe())
    for warning in busy():
        say("warning", warning)
    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "bundled words": bundled_words,
        "names": names,
        "three ways": lambda: three_ways(options.ckpt_path),
        "training": training,
    }
    for what, check in checks.items():
        try:
            right, found = check()
        except Exception as error:  # whatever it is, the report says it, and goes on
            right, found = False, f"{type(error).__name__}: {error}"
        failed += not right
        say(what, f"{'ok' if right else 'FAILED'}: {found}")
    print("all is well" if not failed else f"{failed} of {len(checks)} checks failed")
    if failed:
        sys.exit(1)


def say(what: str, found: str) -> None:
    """Writes a line, without what only concerns the user."""
    print(f"{what:<14} {private(' '.join(found.split()))}", flush=True)


def private(text: str) -> str:
    """A text with the home folder as ~, and without the user's name as a folder.

    Examples:
        >>> private(f"{Path.home() / 'runs'}")
        '~/runs'
    """
    text = re.sub(rf"{re.escape(str(Path.home()))}(?=$|[\W])", "~", text)
    try:
        user = getuser()
    except (OSError, KeyError):  # nobody, as in some containers
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=$|[/\\])", "USER", text)


def versions() -> str:
    """The versions of what a training needs."""
    found = [f"wavenet {wavenet.__version__}", f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} is missing")
    return ", ".join(found)


def system() -> str:
    """The operating system."""
    return f"{platform.platform()}, {os.cpu_count()} processors"


def devices() -> str:
    """What networks can run on."""
    import torch

    found = ["cpu", *(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)


def threads() -> str:
    """How many threads the default network would run on, and who says so."""
    import torch

    from wavenet.network.build import build
    from wavenet.network.config import NetworkConfig
    from wavenet.network.threads import set_threads

    before = torch.get_num_threads()
    chosen = set_threads(build(NetworkConfig(), vocab_size=27))
    given = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    return (
        f"{chosen} for the default network, torch's own choice is {before}; environment: {', '.join(given) or 'none'}"
    )


def busy() -> Iterator[str]:
    """What slows this machine down, if anything does."""
    begin, cpu = time.perf_counter(), time.process_time()
    while (computed := time.process_time() - cpu) < LOOP:
        pass
    if (wall := time.perf_counter() - begin) > BUSY * computed:
        yield f"the machine is busy: {computed:.2f} s of computing took {wall:.2f} s"
    processors = os.cpu_count() or 1
    if hasattr(os, "getloadavg") and (load := os.getloadavg()[0]) > processors:
        yield f"the machine is busy: {load:.1f} programs wanted to run in the last minute, on {processors} processors"


def bundled_words() -> tuple[bool, str]:
    """The fingerprint of the words that come with the package."""
    corpus = read_corpus(BUNDLED)
    return True, f"{len(corpus.words):,} words, SHA-256 {corpus.sha256}"


def names() -> tuple[bool, str]:
    """The fingerprint of names.txt, which others must not have changed."""
    path = DATA_DIR / "names.txt"
    if not path.exists():
        return True, f"{path} is not there yet; a training without --data.path downloads it"
    corpus = read_corpus(path)
    right = corpus.sha256 == NAMES_SHA256
    return right, f"{len(corpus.words):,} words, SHA-256 {corpus.sha256}{'' if right else f', expected {NAMES_SHA256}'}"


def three_ways(ckpt_path: str | None) -> tuple[bool, str]:
    """Whether a network gives the same logits windowed, sliding and stepping."""
    from wavenet.inference.forms import largest_difference

    source, model = model_to_test(ckpt_path)
    letters = random.Random(0)
    words = ["".join(letters.choices(model.vocabulary.alphabet, k=length % 20)) for length in range(NUM_WORDS)]
    difference = largest_difference(model.network, model.vocabulary, words)
    return difference < TOLERANCE, f"logits of {source} differ by {difference:.1e} between the ways to run it"


def model_to_test(ckpt_path: str | None) -> tuple[str, TrainedModel]:
    """The model that was asked for, that of the newest run, or a random one where there is no run; and its name."""
    from wavenet.corpus.vocabulary import Vocabulary
    from wavenet.inference.checkpoint import load
    from wavenet.inference.model import TrainedModel
    from wavenet.network.build import build
    from wavenet.network.config import NetworkConfig

    try:
        path = newest_checkpoint() if ckpt_path is None else find_checkpoint(Path(ckpt_path))
    except FileNotFoundError:
        if ckpt_path is not None:
            raise
        vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
        return "a random network", TrainedModel(build(NetworkConfig(), len(vocabulary)), vocabulary)
    return str(path), load(path)


def training() -> tuple[bool, str]:
    """Whether a training of a moment has the loss that it has elsewhere."""
    from wavenet.training.tiny import NUM_STEPS, RECORDED_LOSS, TOLERANCE, tiny_loss

    loss = tiny_loss()
    right = abs(loss - RECORDED_LOSS) < TOLERANCE
    return right, f"validation loss {loss:.7f} after {NUM_STEPS} steps, recorded {RECORDED_LOSS:.7f}"
