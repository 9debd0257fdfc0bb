"""Write files atomically: readers and concurrent writers see the old version or the new one, never a mix."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_at_once(path: Path, content: str | bytes) -> Path:
    """Write under a temporary name, read it back, rename it, and return the path. Raises OSError where that fails."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    data = content.encode() if isinstance(content, str) else content
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if temporary.read_bytes() != data:
            raise OSError(f"{path}: what was written does not read back the same; is the disk full?")
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
