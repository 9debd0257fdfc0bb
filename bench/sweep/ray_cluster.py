"""A Ray cluster: how a sweep joins it, and what its machines have for a job."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass

from variants.errors import UserError

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Machine:
    """The cores and the cards of a machine, as its cluster counts them."""

    cores: int
    cards: int


def join(address: str) -> int:
    """Join a Ray cluster, which its launcher then uses, and return how many machines it has.

    Raises UserError where none answers.
    """
    import ray

    try:
        host, _, port = address.rpartition(":")
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host.rpartition("/")[2], int(port)), ANSWER_SECONDS).close()
        if not ray.is_initialized():
            _use_token()
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return len(machines())
    except (OSError, RuntimeError, ValueError) as error:
        why = (str(error).splitlines() or ["no answer"])[0]
        raise UserError(
            f"launcher.address={address}: no Ray cluster answers ({why}); `ray start --head` starts one, and "
            "launcher.address=local runs on this machine"
        ) from None


def _use_token() -> None:
    """Have Ray send the token of this account, where it has one and RAY_AUTH_MODE does not say otherwise.

    `ray start` asks for it then, and `ray.init` sends it to `auto` alone. A cluster that asks for none ignores it.
    """
    try:
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    except ImportError:  # another version of Ray, without this function: what it does by itself has to do
        return
    logging.getLogger("ray").setLevel(logging.ERROR)  # as `ray.init` below: it would say that there is a token
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def machines() -> list[Machine]:
    """List the machines of the cluster that this process has joined; none where it has joined none."""
    import ray

    if not ray.is_initialized():
        return []
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [Machine(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
