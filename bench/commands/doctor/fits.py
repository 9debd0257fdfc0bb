"""Which variants of a plan fit the memory that is here, before anything is fetched or built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench.commands.doctor.check import Check
from bench.machine.gpu import chosen_gpus, free_bytes
from bench.sweep.launchers import with_launcher
from bench.sweep.plan.card_room import MARGIN_BYTES, Dimensions, check_memory, served, too_large
from bench.sweep.plan.cell import Cell, make_cell, to_build
from bench.sweep.plan.compose import compose
from bench.sweep.plan.grid import check_devices, check_room, with_hub_folder
from bench.sweep.plan.random_model import check_unmade, random_model, stand_ins, with_random_folder
from bench.sweep.plan.request import RunRequest, parse
from bench.sweep.plan.settings import Settings
from variants.errors import UserError
from variants.process import available_bytes, gigabytes, memory_bytes


@dataclass(frozen=True)
class Place:
    """A card, cards that share a model, or memory: what is free of it now, and what there would be at best."""

    name: str
    free_bytes: int
    total_bytes: int


def fits(overrides: Sequence[str]) -> Iterator[Check]:
    """Compose what `bench run` would; yield a line for each place where its models may lie, or why it cannot run."""
    request = parse(overrides)
    first = compose(request, request.variants[0] if request.variants else "base", 0, check=True)
    try:
        request = with_hub_folder(request, first)
    except UserError:
        yield Check("plan", f"{first.model.id} is not here yet: `bench run` fetches it, doctor does not", "note")
        return
    try:
        check_devices([first], with_launcher(request, first).launcher)
        yield from _planned(request, first)
    except UserError as error:
        yield Check("plan", str(error), "bad")


def _planned(request: RunRequest, first: Settings) -> Iterator[Check]:
    """Yield what a run says of memory and disk. Of a random model that is not made its shape tells all of it."""
    random = random_model(first)
    if random and not random.is_made:
        size = gigabytes(random.shape.n_bytes)
        yield Check("plan", f"{random.name}, {size} in 16 bits: `bench run` makes it, doctor does not", "note")
        cells, model, check = stand_ins(request, first), random.dimensions, partial(check_unmade, random)
    else:
        request = with_random_folder(request, first)
        cells = [make_cell(compose(request, name, 0)) for name in request.variants or first.suite.variants]
        model = Dimensions.of(cells[0].settings.model_folder)
        check = partial(_check_made, model)
    left_out = {} if request.variants else too_large(cells, model, first.suite.if_it_fits)
    for name, why in left_out.items():
        yield Check("plan", f"`bench run` leaves {name} out: {why}", "note")
    cells = [cell for cell in cells if cell.variant not in left_out]
    try:
        check(cells)
    except UserError as error:
        yield Check("plan", str(error), "bad")
    needed = {cell.variant: served(cell, model, cell.device).n_bytes for cell in cells}
    yield from (compared(place, needed) for place in places(first))


def _check_made(model: Dimensions, cells: Sequence[Cell]) -> None:
    """Raise UserError where `bench run` would: training needs more than serving, and the disk may be too small."""
    check_room(cells)
    check_memory(cells, model, to_build(cells))


def places(settings: Settings) -> Iterator[Place]:
    """Yield where the models of a plan may lie: each card that it may use, all of them with split=layers, or memory."""
    cards = chosen_gpus(settings.device, settings.split)
    rooms = [
        Place(f"cuda:{i}", free_bytes(gpu) - MARGIN_BYTES, gpu.total_bytes - MARGIN_BYTES)
        for i, gpu in enumerate(cards)
    ]
    if settings.split == "layers":
        yield Place("all cards", sum(room.free_bytes for room in rooms), sum(room.total_bytes for room in rooms))
    else:
        yield from rooms
    if not cards:
        yield Place("the CPU", available_bytes(), memory_bytes())


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
