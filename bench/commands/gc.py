"""`bench gc`: show the artifacts that no record refers to, and on request remove them."""

from __future__ import annotations

import argparse

from bench.terminal import console
from variants.cache import Cache
from variants.paths import resolve


def show_garbage(arguments: argparse.Namespace) -> int:
    """Print which artifacts no record refers to and how large they are, and with `--yes` remove them then."""
    from bench.report.numbers import plural
    from bench.sweep.garbage import find_garbage, remove

    cache = Cache(resolve(arguments.cache)) if arguments.cache else Cache.default()
    results = resolve(arguments.results)
    garbage = find_garbage(cache, results)
    out = console()
    for item in garbage:
        held = "  held by a running build: stays" if item.held else ""
        out.print(f"{item.size_bytes:>15,} bytes  {item.step:<12} {item.path.name}{held}", soft_wrap=True)
    free = [item for item in garbage if not item.held]
    if not garbage:
        out.print(f"nothing to remove: records under {results} name all that is in {cache.root}", soft_wrap=True)
        return 0
    what = f"{plural(len(free), 'folder')}, {sum(item.size_bytes for item in free):,} bytes"
    out.print(f"no record under {results} names {what} in {cache.root}", soft_wrap=True)
    if any(item.step == "logprobs" for item in garbage):
        out.print("logprobs: a base's log-probabilities; the next sweep that measures divergence builds them again")
    if not arguments.yes:
        out.print("nothing was removed" + ("; --yes removes these folders" if free else ""))
        return 0
    removed = remove(cache, results, free)
    freed_bytes = sum(item.size_bytes for item in removed)
    out.print(f"removed {plural(len(removed), 'folder')}, {freed_bytes:,} bytes")
    return 0
