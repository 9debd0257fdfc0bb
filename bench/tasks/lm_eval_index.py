"""Write lm-eval's names to a JSON file: `python -m bench.tasks.lm_eval_index OUT`, a process of its own (catalogue)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.files import write_at_once


def main(out: Path) -> None:
    """Write {name: [YAML file, member names, dataset path, dataset name]}."""
    import lm_eval.tasks

    folder = Path(lm_eval.tasks.__file__).parent
    names = {}
    for name, entry in lm_eval.tasks.TaskManager().task_index.items():
        config = entry.cfg or {}
        members = sorted(entry.tags) if entry.yaml_path is None else list(_members(config.get("task")))
        path = str(entry.yaml_path.relative_to(folder)) if entry.yaml_path else None
        names[name] = [path, members, config.get("dataset_path"), config.get("dataset_name")]
    write_at_once(out, json.dumps(names, default=str))


def _members(listed: object) -> Iterator[str]:
    """Yield the names in a group's list: plain ones, changed ones, and those of groups defined inside it."""
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, str):
            yield item
        elif isinstance(item.get("task"), list):
            yield from _members(item["task"])
        else:
            yield str(item.get("task") or item.get("group"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
