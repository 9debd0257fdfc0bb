"""The roofline of decoding: how much of the time of a token goes into reading the weights, at the measured bandwidth.

A token reads every weight once, so that tokens a second <= bandwidth / bytes (Williams et al. 2009, CACM 52:65). All
bytes of the artifact are counted, though an embedding table is read by the row: the share is at most what is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.metrics.canary import BANDWIDTH, medians
from bench.summary.rows import Row

LAUNCH_BOUND = 0.10
"""Where reading all weights takes less of a token's time than this share, reading fewer bytes gains next to nothing."""


@dataclass(frozen=True)
class Roofline:
    """What a token takes (P50, ms) and what reading its weights takes at the bandwidth that was measured (GB/s)."""

    size_bytes: float
    token_ms: float
    bandwidth_gb_s: float

    @property
    def reading_ms(self) -> float:
        """Return how long reading all weights once takes."""
        return self.size_bytes / (1e6 * self.bandwidth_gb_s)

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

    The machine check measures the memory of the CPU: of a variant that ran on a GPU there is no roofline.
    """
    devices = {str((record.session or {}).get("device")) for record in row.records if not record.failed}
    size, token = row.value("size_bytes"), row.value("tpot_p50_ms")
    bandwidth = medians(row.records).get(BANDWIDTH)
    if devices != {"cpu"} or not size or not token or not bandwidth:
        return None
    return Roofline(size, token, bandwidth)
