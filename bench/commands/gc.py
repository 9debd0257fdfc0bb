"""`bench gc`: show what the cache holds for no record and what runs left behind, and on request remove it."""

from __future__ import annotations

import argparse

from bench.terminal import say, shown
from variants.cache import Cache
from variants.paths import resolve


def show_garbage(arguments: argparse.Namespace) -> int:
    """Print which artifacts no record refers to and how large they are, and with `--yes` remove them then.

    Job files, locks and cut-off writes that nobody needs any more are counted by kind.
    """
    from bench.report.numbers import plural
    from bench.sweep.garbage import check_cache, find_files, find_garbage, remove_garbage

    cache = Cache(resolve(arguments.cache)) if arguments.cache else Cache.default()
    results = resolve(arguments.results)
    check_cache(cache)
    garbage, files = find_garbage(cache, results), find_files(cache, results)
    for item in garbage:
        held = "  held by a running build: stays" if item.held else ""
        say(f"{item.size_bytes:>15,} bytes  {item.step:<14} {item.path.name}{held}", under=" " * 17)
    for some in files:
        say(f"{some.size_bytes:>15,} bytes  {some.kind:<14} {plural(len(some.paths), 'file')}")
    free = [item for item in garbage if not item.held]
    if not garbage and not files:
        say(f"nothing to remove: records under {shown(results)} name all that is in {shown(cache.root)}")
        return 0
    what = f"{plural(len(free), 'folder')}, {sum(item.size_bytes for item in free):,} bytes"
    say(f"no record under {shown(results)} names {what} in {shown(cache.root)}")
    if any(item.step == "logprobs" for item in garbage):
        say("logprobs: a base's log-probabilities; the next sweep that measures divergence builds them again")
    if not arguments.yes:
        say("nothing was removed" + ("; --yes removes this" if free or files else ""))
        return 0
    removed, removed_files = remove_garbage(cache, results, free)
    freed_bytes = sum(item.size_bytes for item in removed)
    say(f"removed {plural(len(removed), 'folder')}, {freed_bytes:,} bytes")
    for some in removed_files:
        say(f"removed {plural(len(some.paths), 'file')} of {some.kind}")
    return 0
