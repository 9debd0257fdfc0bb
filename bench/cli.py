"""The `bench` command. Heavy libraries are imported by the command that needs them: `bench --help` is instant."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from bench.terminal import drop_output, open_streams, warn
from variants.configure import similar
from variants.errors import UserError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["_Parser"]

RUN_HELP = (
    "overrides: suite=…, model=NAME|FOLDER|org/name, variant=base,q4, device=cpu, "
    "latency.requests=50, steps.lora.rank=8 …"
)


EXAMPLES: Mapping[str, tuple[str, str]] = {
    "": ("bench run suite=smoke     # a first sweep in a minute", "bench advise              # which variant to ship"),
    "run": ("bench run suite=smoke device=cpu", "bench run model=qwen2.5-0.5b variant=base,q4 latency.requests=50"),
    "report": ("bench report --open", "bench report --commit HEAD~1 --format md,csv"),
    "compare": ("bench compare HEAD~1", "bench compare v1.0 --variant q4 --metric latency --fail-on worse"),
    "advise": ("bench advise", "bench advise requirements=realtime requirements.max_p99_ms=150"),
    "list": ("bench list --long", "bench list --names         # what variant=, suite= and model= take"),
    "gc": ("bench gc                   # shows, removes nothing", "bench gc --yes"),
    "history": ("bench history", "bench history --branch main --variant q4 --metric e2e_p99_ms"),
    "bisect": ("bench bisect e2e_p50_ms q4 v1.0 HEAD", "bench bisect 'accuracy hr' q4 HEAD~20 HEAD -- suite=smoke"),
    "doctor": (
        "bench doctor && bench run  # run only where it can",
        "bench doctor suite=hr-chatbot model=/path/to/model",
    ),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as those about any other mistake, and whose help ends in examples."""

    def format_help(self) -> str:
        lines = "".join(f"  {line}\n" for line in EXAMPLES[self.prog.removeprefix("bench").strip()])
        return f"{super().format_help()}\nexamples:\n{lines}"

    def error(self, message: str) -> NoReturn:
        message = message.removeprefix("argument ")
        if choice := re.fullmatch(r"(.+): invalid choice: '?(.*?)'? \(choose from (.+)\)", message):
            known = [name.strip(" '") for name in choice[3].split(",")]
            message = f"{choice[1]}: got {choice[2]!r}, allowed: {', '.join(known)}{similar(choice[2], known)}"
        elif number := re.fullmatch(r"(.+): invalid int value: (.+)", message):
            message = f"{number[1]}: got {number[2]}, allowed: a whole number"
        raise UserError(f"{message}; see `{self.prog} --help`")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 1 where the result is bad, or 2 where there is no result, 130 where it was stopped.

    1 is a verdict, such as that something got worse: no mistake, no broken pipe and no fault of this program returns
    it.
    """
    try:
        open_streams()
        if os.environ.pop("LLAMA_CPP_LIB_PATH", None):
            warn("LLAMA_CPP_LIB_PATH is not used: what is measured is the llama.cpp that set-up has built")
        code = _dispatch(_parsed(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        warn("stopped; run the same command again to go on from here")
        return 130
    except Exception as error:
        _explain(error)
        return 2


def _explain(error: Exception) -> None:
    """Say why there is no result: in one line, but for a fault of this program, which keeps its traceback."""
    if isinstance(error, OSError):
        drop_output()  # it may be what failed
    if isinstance(error, BrokenPipeError):
        return  # whoever read the output has seen enough
    if isinstance(error, UserError):
        warn(str(error))
    elif isinstance(error, MemoryError):
        warn("out of memory: this machine has too little for this; close other programs, or ask for less")
    elif isinstance(error, OSError):
        warn(f"{error.filename or 'standard output, or a file that was being written'}: {error.strerror or error}")
    else:
        traceback.print_exception(error)
        warn(f"a fault of bench itself: {type(error).__name__}; please report it with the lines above")


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. Raises UserError for what a command does not take, with the nearest that it does."""
    parser, commands = _parser()
    arguments, rest = parser.parse_known_args(argv or ["--help"])
    takes_keys = hasattr(arguments, "overrides")
    if takes_keys:  # argparse takes no more of them behind an option
        arguments.overrides += [one for one in rest if not one.startswith("-")]
        rest = [one for one in rest if one.startswith("-")]
    if rest:
        one = rest[0].partition("=")[0]
        own = commands.choices[arguments.command] if arguments.command else parser
        options = sorted(set(re.findall(r"--[a-z-]+", own.format_usage())))
        allowed = ["KEY=VALUE, such as suite=smoke"] * takes_keys + [", ".join(options)] * bool(options)
        text = ", and ".join(allowed) or "nothing"
        raise UserError(f"{own.prog.removeprefix('bench ')}: got {one}, allowed: {text}{similar(one, options)}")
    if not arguments.version and not arguments.command:
        parser.error("argument COMMAND: none was typed")
    return arguments


def _parser() -> tuple[argparse.ArgumentParser, Commands]:
    parser = _Parser(
        prog="bench",
        description="Show which optimization variant of a language model to ship: "
        "size, P99 latency and accuracy of the same artifact.",
    )
    parser.add_argument("--version", action="store_true", help="print the version of this tool")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = _add(commands, "run", "build and measure a grid of variants, then render the report")
    run.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=RUN_HELP)
    run.add_argument(
        "--open",
        action="store_true",
        help="open the report at the end, as `make bench` does: where standard output is a terminal and there is a "
        "display, else its path is printed",
    )
    run.add_argument("--verify", action="store_true", help="compute the checksum of every cached file that is used")
    report = _add(commands, "report", "render the report of a sweep from its records")
    report.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="requirements, as of bench advise")
    report.add_argument("--results", default="results", help="folder of the records (default: results)")
    report.add_argument("--out", default=None, help="folder to write to (default: RESULTS/report/SWEEP)")
    report.add_argument("--commit", default=None, help="a git revision with records (default: HEAD, else the nearest)")
    report.add_argument("--machine", default=None, help="a machine id, where several have records of that commit")
    report.add_argument("--sweep", default=None, help="a sweep's name, where a commit has several")
    report.add_argument("--format", default="md,html,csv,svg", help="any of md,html,csv,svg, with commas between")
    report.add_argument("--open", action="store_true", help="open the page in a browser")
    _add_compare(commands)
    _add_advise(commands)
    _add_store(commands)
    history = _add(commands, "history", "show the metrics over the commits of a branch and where they changed")
    history.add_argument("--results", default="results", help="folder of the records (default: results)")
    history.add_argument("--cache", help="folder of its index (default: cache_dir of conf/config.yaml)")
    history.add_argument("--out", default=None, help="folder to write to (default: RESULTS/report/SWEEP)")
    history.add_argument("--branch", default="HEAD", help="a branch or any git revision (default: HEAD)")
    history.add_argument("--machine", default=None, help="a machine id (default: that of the newest commit)")
    history.add_argument("--sweep", default=None, help="a sweep's name (default: that of the newest commit)")
    history.add_argument("--variant", default=None, help="variants, with commas between (default: all)")
    history.add_argument("--metric", default=None, help="metrics, such as e2e_p50_ms,'accuracy hr' (default: all)")
    history.add_argument("--format", default="html,svg,csv", help="any of html,svg,csv, with commas between")
    bisect = _add(commands, "bisect", "find the commit that made a metric worse, in a worktree of its own")
    bisect.add_argument("metric", metavar="METRIC", help="such as size_bytes, e2e_p50_ms or 'accuracy hr'")
    bisect.add_argument("variant", metavar="VARIANT", help="the variant to build and measure at each commit")
    bisect.add_argument("good", metavar="GOOD", help="git revision where it was good")
    bisect.add_argument("bad", metavar="BAD", help="later git revision where it is worse")
    bisect.add_argument("overrides", nargs="*", metavar="-- KEY=VALUE", help="overrides, as of bench run")
    doctor = _add(commands, "doctor", "show what this machine has, what is wrong, and which models of a plan fit")
    doctor.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="a plan, as of bench run (default: suite=embedded)"
    )
    return parser, commands


def _add(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _add_compare(commands: Commands) -> None:
    compare = _add(commands, "compare", "compare two revisions: exit 1 if anything got worse")
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
    compare.add_argument("--all", action="store_true", help="show what is the same too, and how it was tested")
    compare.add_argument("--flips", action="store_true", help="list the questions whose answer flipped")
    compare.add_argument("--normalize", action="store_true", help="divide latencies by the drift of the canary")


def _add_advise(commands: Commands) -> None:
    advise = _add(
        commands,
        "advise",
        "say which variant to ship: exit 0 if one qualifies, 1 if none does, 2 if too little is measured",
    )
    advise.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="requirements=NAME of conf/requirements (default: the suite's), requirements.max_p99_ms=150 …",
    )
    advise.add_argument("--results", default="results", help="folder of the records (default: results)")
    advise.add_argument("--commit", default=None, help="a git revision with records (default: HEAD, else the nearest)")
    advise.add_argument("--machine", default=None, help="a machine id, where several have records of that commit")
    advise.add_argument("--sweep", default=None, help="a sweep's name, where a commit has several")
    advise.add_argument("--format", default="table", choices=("table", "json"))


def _add_store(commands: Commands) -> None:
    listed = _add(commands, "list", "show what results/ holds: commits, machines, variants, failures")
    listed.add_argument("--results", default="results", help="folder of the records (default: results)")
    listed.add_argument("--limit", type=int, default=20, help="how many commits to show (default: 20)")
    listed.add_argument("--long", action="store_true", help="name the variants of each sweep")
    listed.add_argument("--all", action="store_true", help="show all commits")
    listed.add_argument("--check", action="store_true", help="read every record in full and name those left out")
    listed.add_argument("--names", action="store_true", help="show the suites, models, variants and steps there are")
    garbage = _add(commands, "gc", "show what the cache holds that no record names; --yes removes it")
    garbage.add_argument("--results", default="results", help="folder of the records (default: results)")
    garbage.add_argument("--cache", help="folder of the artifacts (default: cache_dir of conf/config.yaml)")
    garbage.add_argument("--yes", action="store_true", help="list it, then remove it")


def _dispatch(arguments: argparse.Namespace) -> int:
    if arguments.version:
        from importlib.metadata import version

        print(f"bench {version('variantbench')}")
        return 0
    if arguments.command == "run":
        from bench.commands.run import run

        return run(arguments.overrides, arguments.open, arguments.verify)
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

    return doctor(arguments.overrides)


if __name__ == "__main__":
    sys.exit(main())
