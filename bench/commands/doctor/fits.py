"""Which variants of a plan fit the memory that is here, before anything is fetched or built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.commands.doctor.check import Check, gigabytes
from bench.machine.gpu import chosen_gpus, free_bytes
from bench.machine.hardware import machine
from bench.sweep.plan.card_room import MARGIN_BYTES, check_cards, served
from bench.sweep.plan.cell import Cell, make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.grid import with_hub_folder
from bench.sweep.plan.random_model import shape_of
from bench.sweep.plan.request import parse
from variants.errors import UserError
from variants.process import available_bytes
from variants.weights import tensors


@dataclass(frozen=True)
class Place:
    """A card, cards that share a model, or memory: what is free of it now, and what there would be at best."""

    name: str
    free_bytes: int
    total_bytes: int


def fits(overrides: Sequence[str]) -> list[Check]:
    """Compose what `bench run` would; return a line for each place where its models may lie, or why it cannot run."""
    request = parse(overrides)
    first = compose(request, request.variants[0] if request.variants else "base", 0, check=True)
    if first.model.shape is not None:
        size = gigabytes(shape_of(first.model.shape).n_bytes)
        return [Check("plan", f"{first.model.name}, {size} in 16 bits: `bench run` makes it, doctor does not", "note")]
    try:
        request = with_hub_folder(request, first)
    except UserError:
        return [Check("plan", f"{first.model.id} is not here yet: `bench run` fetches it, doctor does not", "note")]
    try:
        cells = [make_cell(compose(request, name, 0)) for name in request.variants or first.suite.variants]
    except UserError as error:
        return [Check("plan", str(error), "bad")]
    stored = tensors(cells[0].settings.model_folder)
    needed = {cell.variant: served(cell, stored, cell.device).n_bytes for cell in cells}
    return [*_refused(cells), *(compared(place, needed) for place in places(cells[0]))]


def _refused(cells: Sequence[Cell]) -> Iterator[Check]:
    """Yield why `bench run` would refuse these cells: training needs more than serving, and a full machine less."""
    try:
        check_cards(cells)
    except UserError as error:
        yield Check("plan", str(error), "bad")


def places(cell: Cell) -> Iterator[Place]:
    """Yield where the models of a plan may lie: each card that it may use, all of them with split=layers, or memory."""
    cards = chosen_gpus(cell.settings.device, cell.settings.split)
    rooms = [
        Place(f"cuda:{i}", free_bytes(gpu) - MARGIN_BYTES, gpu.total_bytes - MARGIN_BYTES)
        for i, gpu in enumerate(cards)
    ]
    if cell.settings.split == "layers":
        yield Place("all cards", sum(room.free_bytes for room in rooms), sum(room.total_bytes for room in rooms))
    else:
        yield from rooms
    if not cards:
        yield Place("the CPU", available_bytes(), machine().memory_bytes)


def compared(place: Place, needed: Mapping[str, int]) -> Check:
    """Say which variants fit a place, which only once other programs leave it, and which never."""
    names = sorted(needed, key=lambda name: -needed[name])
    never = [name for name in names if needed[name] > place.total_bytes]
    busy = [name for name in names if place.free_bytes < needed[name] <= place.total_bytes]
    now = [name for name in names if name not in never and name not in busy]
    texts = ((now, "fit"), (busy, "do not fit what is free now"), (never, "too large"))
    listed = [f"{text}: {', '.join(f'{one} {gigabytes(needed[one])}' for one in some)}" for some, text in texts if some]
    text = f"on {place.name}, {gigabytes(place.free_bytes)} free, {'; '.join(listed)}"
    return Check("plan", text, "bad" if never else "note" if busy else "ok")
