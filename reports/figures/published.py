"""Published heatmaps beside ours."""

import math
from dataclasses import replace

from matplotlib.figure import Figure

from reports import published, style
from reports.figures.heatmaps import axis_ticks, bands, legend, metric_scale, metric_tile, seeds, subtitle
from reports.figures.panels import Band, draw
from reports.figures.tiles import SYMBOLS, Tile
from reports.study import Position, Study

PRINTED = "published"


def published_heatmaps(study: Study) -> Figure:
    """The published accuracies, then those of each backend (`published.lanes`); above training, below test.

    One colour scale; chaotic cells are hatched in all panels and never ticked, since equality is a coincidence there.
    A tick marks any other cell that has the published number.
    """
    cells, unstable, modes = published.printed(study), published.chaotic(study), published.lanes(study)
    columns = [f"{split}_accuracy" for split in published.splits(study)]
    legible = [cell[name] for cell in cells.values() for name in columns if not math.isnan(cell[name])]
    lines = []

    def absent(backend: str) -> str:
        return "" if backend == PRINTED else study.absence(modes[backend], backend)

    def titled(backend: str) -> str:
        return "native" if modes.get(backend) == "native" else ""

    for split in published.splits(study):

        def tile(backend: str, position: Position, split: str = split) -> Tile:
            number = cells.get(position, {}).get(f"{split}_accuracy")
            if backend == PRINTED:
                note = "not\nprinted" if number is None else "illegible" if math.isnan(number) else ""
                value = math.nan if number is None else number
                return Tile(value, "" if note else style.score(value), note, hatched=position in unstable)
            column, cell = f"{split}_accuracy", study.cell(modes[backend], backend, position)
            found = metric_tile(cell, modes[backend], column)
            answered = published.number_of(cell, column)
            if not cell.complete and not math.isnan(answered):
                found = replace(found, value=answered, text=style.score(answered))
            if number is None or not published.decided(cell, column, unstable):
                return replace(found, hatched=position in unstable)
            return replace(found, note=SYMBOLS["equal"]) if published.equal(cell, column, number) else found

        what = "Training accuracy" if split == "train" else "Test accuracy"
        for band in bands(study, "controlled", [PRINTED, *modes], tile, titled, absence=absent):
            lines.append(Band(band.panels, ", ".join(filter(None, [what, band.heading]))))
    marks = legend(study, ["controlled"], ["accuracy"], equal=True)
    return draw(
        "Published and ours, mode controlled",
        subtitle(study, seeds(study)),
        lines,
        axis_ticks(study),
        metric_scale(study, "_accuracy", beside=min(legible)),
        marks,
    )
