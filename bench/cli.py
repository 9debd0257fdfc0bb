"""The `bench` command. Heavy libraries are imported by the command that needs them: `bench --help` is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.terminal import warn
from variants.errors import UserError

RUN_HELP = (
    "overrides: suite=…, model=NAME|FOLDER|org/name, variant=base,q4, device=cpu, "
    "latency.requests=50, steps.lora.rank=8 …"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 where the result is bad, or 2 where the user made a mistake."""
    arguments = _parser().parse_args(argv)
    try:
        return _dispatch(arguments)
    except UserError as error:
        warn(str(error))
        return 2
    except KeyboardInterrupt:
        warn("stopped; run the same command again to go on from here")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Show which optimization variant of a language model to ship: "
        "size, P99 latency and accuracy of the same artifact.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="build and measure a grid of variants, then render the report")
    run.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=RUN_HELP)
    report = commands.add_parser("report", help="render the report of a sweep from its records")
    report.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="requirements, as of bench advise")
    report.add_argument("--results", default="results", help="folder of the records (default: results)")
    report.add_argument("--out", default=None, help="folder to write to (default: RESULTS/report/SWEEP)")
    report.add_argument("--commit", default=None, help="a commit that has records (default: HEAD, else the nearest)")
    report.add_argument("--machine", default=None, help="a machine id, where several have records of that commit")
    report.add_argument("--sweep", default=None, help="a sweep's name, where a commit has several")
    report.add_argument("--format", default="md,html,csv,svg", help="any of md,html,csv,svg, with commas between")
    _add_compare(commands)
    _add_advise(commands)
    _add_store(commands)
    history = commands.add_parser(
        "history", help="show the metrics over the commits of a branch and where they changed"
    )
    history.add_argument("--results", default="results", help="folder of the records (default: results)")
    history.add_argument("--cache", help="folder of its index (default: cache_dir of conf/config.yaml)")
    history.add_argument("--out", default=None, help="folder to write to (default: RESULTS/report/SWEEP)")
    history.add_argument("--branch", default="HEAD", help="a branch or any git revision (default: HEAD)")
    history.add_argument("--machine", default=None, help="a machine id (default: that of the newest commit)")
    history.add_argument("--sweep", default=None, help="a sweep's name (default: that of the newest commit)")
    history.add_argument("--variant", default=None, help="variants, with commas between (default: all)")
    history.add_argument("--metric", default=None, help="metrics, such as e2e_p50_ms,'accuracy hr' (default: all)")
    history.add_argument("--format", default="html,svg,csv", help="any of html,svg,csv, with commas between")
    bisect = commands.add_parser("bisect", help="find the commit that made a metric worse, in a worktree of its own")
    bisect.add_argument("metric", metavar="METRIC", help="such as size_bytes, e2e_p50_ms or 'accuracy hr'")
    bisect.add_argument("variant", metavar="VARIANT", help="the variant to build and measure at each commit")
    bisect.add_argument("good", metavar="GOOD", help="git revision where it was good")
    bisect.add_argument("bad", metavar="BAD", help="later git revision where it is worse")
    bisect.add_argument("overrides", nargs="*", metavar="-- KEY=VALUE", help="overrides, as of bench run")
    commands.add_parser("doctor", help="show what this machine has, and what will be skipped or fail")
    return parser


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = commands.add_parser("compare", help="compare two revisions: exit 1 if anything got worse")
    compare.add_argument("base", metavar="BASE", help="git revision to compare with; REV-dirty: its uncommitted state")
    compare.add_argument(
        "head",
        metavar="HEAD",
        nargs="?",
        help="git revision, or worktree for uncommitted results (default: HEAD in the state measured last; where HEAD "
        "or BASE was not measured, the nearest commit before it that was)",
    )
    compare.add_argument("--results", default="results", help="folder of the records (default: results)")
    compare.add_argument("--machine", default=None, help="a machine id, where several have records")
    compare.add_argument("--sweep", default=None, help="a sweep's name (default: the newest of HEAD)")
    compare.add_argument("--variant", default="", help="variants, with commas between (default: all)")
    compare.add_argument("--metric", default="", help="metrics or measures, such as e2e_p50_ms,accuracy (default: all)")
    compare.add_argument("--threshold", default="", help="limits, such as e2e_p50_ms=0.05,accuracy=0.01")
    compare.add_argument("--fail-on", default="worse,now-fails", help="verdicts that exit 1 (default: worse,now-fails)")
    compare.add_argument("--format", default="table", choices=("table", "html", "md", "json", "github"))
    compare.add_argument("--flips", action="store_true", help="list the questions whose answer flipped")
    compare.add_argument("--normalize", action="store_true", help="divide latencies by the drift of the canary")


def _add_advise(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    advise = commands.add_parser(
        "advise", help="say which variant to ship: exit 0 if one qualifies, 1 if none does, 2 if too little is measured"
    )
    advise.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="requirements=NAME of conf/requirements (default: the suite's), requirements.max_p99_ms=150 …",
    )
    advise.add_argument("--results", default="results", help="folder of the records (default: results)")
    advise.add_argument("--commit", default=None, help="a commit that has records (default: HEAD, else the nearest)")
    advise.add_argument("--machine", default=None, help="a machine id, where several have records of that commit")
    advise.add_argument("--sweep", default=None, help="a sweep's name, where a commit has several")
    advise.add_argument("--format", default="table", choices=("table", "json"))


def _add_store(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listed = commands.add_parser("list", help="show what results/ holds: commits, machines, variants, failures")
    listed.add_argument("--results", default="results", help="folder of the records (default: results)")
    listed.add_argument("--limit", type=int, default=20, help="how many commits to show (default: 20)")
    listed.add_argument("--all", action="store_true", help="show all commits")
    listed.add_argument("--check", action="store_true", help="read every record in full and name those left out")
    listed.add_argument("--names", action="store_true", help="show the suites, models, variants and steps there are")
    garbage = commands.add_parser("gc", help="show what the cache holds that no record names; --yes removes it")
    garbage.add_argument("--results", default="results", help="folder of the records (default: results)")
    garbage.add_argument("--cache", help="folder of the artifacts (default: cache_dir of conf/config.yaml)")
    garbage.add_argument("--yes", action="store_true", help="list it, then remove it")


def _dispatch(arguments: argparse.Namespace) -> int:
    if arguments.command == "run":
        from bench.commands.run import run

        return run(arguments.overrides)
    if arguments.command == "report":
        from bench.commands.report import render_report

        return render_report(arguments)
    if arguments.command == "compare":
        from bench.commands.compare import show_comparison

        return show_comparison(arguments)
    if arguments.command == "advise":
        from bench.commands.advise import show_advice

        return show_advice(arguments)
    if arguments.command == "history":
        from bench.commands.history import show_history

        return show_history(arguments)
    if arguments.command == "bisect":
        from bench.commands.bisect import bisect

        return bisect(arguments.metric, arguments.variant, arguments.good, arguments.bad, arguments.overrides)
    if arguments.command == "list" and arguments.names:
        from bench.commands.list import list_names

        return list_names()
    if arguments.command == "list":
        from bench.commands.list import show_stored

        return show_stored(arguments)
    if arguments.command == "gc":
        from bench.commands.gc import show_garbage

        return show_garbage(arguments)
    from bench.commands.doctor import doctor

    return doctor()


if __name__ == "__main__":
    sys.exit(main())
