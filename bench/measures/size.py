"""Size: measured bytes, and bits per weight with the tensor types really used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench.measures.measure import Progress, Subject
from bench.measures.token_reads import token_reads


@dataclass(frozen=True)
class Size:
    """Bytes on disk of all that serving the artifact needs: an adapter counts with the model it sits on."""

    name: ClassVar[str] = "size"
    tools: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = False

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return bytes, parameters, tensor types, and bits_per_weight: 8 · weight bytes / parameters.

        Of a GGUF also what a token reads: `read_bytes` of the weights, `kv_values` of the cache for each token before.
        """
        artifact = subject.artifact
        deployed = artifact.deployed()
        weight_bytes = sum(a.weight_bytes for a in deployed)
        files = {(file.name, file.sha256): file.size_bytes for part in deployed for file in part.files}
        types: Counter[str] = Counter()
        for part in deployed:
            types.update(part.tensor_types)
        reads = token_reads(artifact.gguf()) if artifact.kind == "gguf" else None
        return {
            "size_bytes": sum(files.values()),  # an adapter repeats its base's tokenizer: counted once
            "weight_bytes": weight_bytes,
            "n_parameters": artifact.n_parameters,
            "bits_per_weight": round(8 * weight_bytes / artifact.n_parameters, 4),
            "tensor_types": dict(sorted(types.items())),
            "read_bytes": reads and reads.weight_bytes,
            "kv_values": reads and reads.kv_values,
        }
