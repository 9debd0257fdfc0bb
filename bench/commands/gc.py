"""`bench gc`: show the artifacts that no record refers to, and on request remove them."""

from __future__ import annotations

import argparse

from bench.terminal import say, shown
from variants.cache import Cache
from variants.paths import resolve


def show_garbage(arguments: argparse.Namespace) -> int:
    """Print which artifacts no record refers to and how large they are, and with `--yes` remove them then."""
    from bench.report.numbers import plural
    from bench.sweep.garbage import find_garbage, remove

    cache = Cache(resolve(arguments.cache)) if arguments.cache else Cache.default()
    results = resolve(arguments.results)
    garbage = find_garbage(cache, results)
    for item in garbage:
        held = "  held by a running build: stays" if item.held else ""
        say(f"{item.size_bytes:>15,} bytes  {item.step:<12} {item.path.name}{held}", under=" " * 17)
    free = [item for item in garbage if not item.held]
    if not garbage:
        say(f"nothing to remove: records under {shown(results)} name all that is in {shown(cache.root)}")
        return 0
    what = f"{plural(len(free), 'folder')}, {sum(item.size_bytes for item in free):,} bytes"
    say(f"no record under {shown(results)} names {what} in {shown(cache.root)}")
    if any(item.step == "logprobs" for item in garbage):
        say("logprobs: a base's log-probabilities; the next sweep that measures divergence builds them again")
    if not arguments.yes:
        say("nothing was removed" + ("; --yes removes these folders" if free else ""))
        return 0
    removed = remove(cache, results, free)
    freed_bytes = sum(item.size_bytes for item in removed)
    say(f"removed {plural(len(removed), 'folder')}, {freed_bytes:,} bytes")
    return 0
