"""What `bench advise` and `bench report` take of requirements on the command line."""

from __future__ import annotations

from variants.errors import UserError


def override(argument: str) -> tuple[str, object]:
    """Return the key and the value of `requirements=…` or `requirements.KEY=…`. Raises UserError for anything else."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from bench.advise.named import KEY

    allowed = "allowed: requirements=NAME, or requirements.KEY=VALUE such as requirements.max_p99_ms=150"
    try:
        parsed = OverridesParser.create().parse_override(argument)
        value = parsed.value()
    except HydraException:
        raise UserError(f"{argument!r}: not a valid override; {allowed}") from None
    key = parsed.key_or_group
    plain = not (parsed.is_add() or parsed.is_force_add() or parsed.is_delete() or parsed.is_sweep_override())
    if key.partition(".")[0] != KEY or not plain:
        raise UserError(f"{argument!r}: no requirement; {allowed}")
    return key, value
