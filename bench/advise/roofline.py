"""The roofline of decoding: how much of the time of a token goes into reading memory, at the measured bandwidth.

A token reads every weight once, so that tokens a second <= bandwidth / bytes (Williams et al. 2009, CACM 52:65). Of an
untied embedding table it reads one row; of the cache, the keys and values of all tokens before it. The share is
bytes read per token x tokens/s / bandwidth. Older records do not say what is read: then all bytes of the artifact are
counted, and the share is at most what is said.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.metrics.canary import bandwidth_of, medians
from bench.records.types import Record
from bench.summary.rows import Row

LAUNCH_BOUND = 0.10
"""Where reading all weights takes less of a token's time than this share, reading fewer bytes gains next to nothing."""
KV_BYTES = {"f16": 2, "f32": 4}
"""Bytes of one number of the cache, by the runtime's `kv_type`."""


@dataclass(frozen=True)
class Roofline:
    """What a token takes (P50, ms), what it reads of weights and cache, and the bandwidth that was measured (GB/s)."""

    weight_bytes: float
    token_ms: float
    bandwidth_gb_s: float
    kv_bytes: float = 0.0

    @property
    def read_bytes(self) -> float:
        """Return the bytes that one token reads."""
        return self.weight_bytes + self.kv_bytes

    @property
    def reading_ms(self) -> float:
        """Return how long reading them once takes."""
        return self.read_bytes / (1e6 * self.bandwidth_gb_s)

    @property
    def share(self) -> float:
        """Return the share of a token's time; above 1 the weights come from a cache, and not from memory."""
        return self.reading_ms / self.token_ms

    @property
    def launch_bound(self) -> bool:
        """Say whether the time goes elsewhere than into reading weights."""
        return self.share < LAUNCH_BOUND


def roofline_of(row: Row) -> Roofline | None:
    """Return the roofline of a variant; None where its size, its time per token or the bandwidth was not measured.

    The bandwidth is that of the memory which the variant ran from: the CPU's, or the GPU's own.
    """
    readings = {bandwidth_of(record) for record in row.records if not record.failed}
    size, token = row.value("size_bytes"), row.value("tpot_p50_ms")
    bandwidth = medians(row.records).get(readings.pop()) if len(readings) == 1 else None
    if not size or not token or not bandwidth:
        return None
    weights = next((one.size.read_bytes for one in row.records if one.size and one.size.read_bytes), None)
    return Roofline(weights or size, token, bandwidth, kv_bytes_of(row) or 0.0)


def kv_bytes_of(row: Row) -> float | None:
    """Return the bytes of the cache that a token reads, in the middle of an answer; None where it is not known."""
    values = next((one.size.kv_values for one in row.records if one.size and one.size.kv_values), None)
    each = KV_BYTES.get(str(row.records[0].config.runtime.get("kv_type")))
    before = [tokens for record in row.records for tokens in _before(record)]
    return values * each * statistics.mean(before) if values and each and before else None


def _before(record: Record) -> list[float]:
    """Return for each request how many tokens stand before a token of its answer, in the mean."""
    latency = record.latency
    return [prompt + (latency.output_tokens or 0) / 2 for prompt in latency.prompt_tokens] if latency else []
