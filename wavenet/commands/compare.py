"""``wavenet compare`` and ``wavenet lecture``: trainings with several seeds, in one report."""

from pathlib import Path

from wavenet.commands.experiments import how_to_run, options_of_trainings, parse, show, typed
from wavenet.commands.main import Parser
from wavenet.errors import UsageError

LECTURE = "lecture"
SEEDS = {"compare": 3, LECTURE: 1}
EXAMPLES = {
    "compare": "wavenet compare configs/default.yaml configs/gated.yaml --seeds 3 --name gates",
    LECTURE: "wavenet lecture --seeds 2 --jobs 2",
}


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""

    def add_arguments(parser: Parser) -> None:
        if name != LECTURE:
            parser.add_argument(
                "what",
                nargs="+",
                metavar="CONFIG_OR_RUN",
                help="configurations to train, or folders of finished runs",
            )
        parser.add_argument("--seeds", type=int, help=f"trainings of each (default: {SEEDS[name]})")
        parser.add_argument("--name", default=name, help="of the folder, runs/NAME (default: %(default)s)")

    options = parse(name, add_arguments, EXAMPLES[name], arguments)
    paths = [] if name == LECTURE else [Path(what) for what in options.what]
    folders = [path.is_dir() for path in paths]
    if any(folders) and not all(folders):
        raise UsageError("expected either configurations to train or folders of finished runs, got both")
    if any(folders) and (given := options_of_trainings(options)):
        raise UsageError(f"finished runs are compared as they are: expected no {given[0]}, which is for trainings")
    if options.seeds is None:
        options.seeds = SEEDS[name]
    how = how_to_run(options)
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} not found: expected a configuration to train, or the folder of a finished run")
    from wavenet.extras import require

    require("report")
    from wavenet.experiments.compare import compare_configs, compare_runs
    from wavenet.experiments.lecture import lecture

    if name == LECTURE:
        comparison = lecture(how, typed())
    elif any(folders):
        comparison = compare_runs(paths, how.name, typed())
    else:
        comparison = compare_configs(paths, how, typed())
    show(comparison, how.name)
