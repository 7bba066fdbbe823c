"""``wavenet sweep``: a search for the best settings in the ranges of a file."""

from pathlib import Path
from shlex import quote

from wavenet.commands.experiments import how_to_run, last_lines, parse, show, typed
from wavenet.commands.main import Parser
from wavenet.errors import UsageError
from wavenet.runs import command


def main(name: str, arguments: list[str]) -> None:
    """Runs the command."""

    def add_arguments(parser: Parser) -> None:
        parser.add_argument("space", metavar="SPACE.yaml", help="a configuration, with ranges below the key space")
        parser.add_argument("--trials", type=int, default=20, help="how many there are to be (default: %(default)s)")
        parser.add_argument("--seeds", type=int, default=1, help="trainings of each trial (default: %(default)s)")
        parser.add_argument("--name", help="of the search and its folder, runs/NAME (default: the file's name)")
        parser.add_argument(
            "--storage", metavar="URL", help="a database that several machines share (default: a file in the folder)"
        )
        parser.add_argument("--no-prune", action="store_true", help="give no trial up before its end")

    options = parse(name, add_arguments, "wavenet sweep configs/sweeps/rates.yaml --trials 30 --jobs 2", arguments)
    path = Path(options.space)
    if not path.is_file():
        raise UsageError(f"{path} not found: expected a file with a space to search, such as configs/sweeps/rates.yaml")
    options.name = path.stem if options.name is None else options.name
    how = how_to_run(options)
    from wavenet.extras import require

    require("report", "sweep")
    from wavenet.experiments.search_report import BEST_CONFIG, report_search
    from wavenet.experiments.space import read_space
    from wavenet.experiments.sweep import JOURNAL, HowToSearch, Search

    to_search = HowToSearch(options.trials, options.storage, not options.no_prune)
    search = Search(read_space(path, options.passed_on), how, to_search)
    search.run()
    comparison = report_search(search, typed())
    storage = quote(str(how.folder / JOURNAL)) if options.storage is None else "URL"
    more = {
        "Best": f"{command('wavenet')} fit --config {quote(str(how.folder / BEST_CONFIG))}",
        "Study": f"optuna-dashboard {storage}",
    }
    if comparison is None:
        last_lines(how.name, more)
    else:
        show(comparison, how.name, more)
