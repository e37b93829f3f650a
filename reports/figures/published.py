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
    """The published accuracies, then those of each backend in mode `controlled`; above training, below test.

    One colour scale; chaotic cells are hatched in all panels and never ticked, since equality is a coincidence there.
    A tick marks any other cell that has the published number.
    """
    cells, unstable = published.printed(study), published.chaotic(study)
    columns = [f"{split}_accuracy" for split in published.splits(study)]
    legible = [cell[name] for cell in cells.values() for name in columns if not math.isnan(cell[name])]
    lines = []
    for split in published.splits(study):

        def tile(backend: str, position: Position, split: str = split) -> Tile:
            number = cells.get(position, {}).get(f"{split}_accuracy")
            if backend == PRINTED:
                note = "not\nprinted" if number is None else "illegible" if math.isnan(number) else ""
                value = math.nan if number is None else number
                return Tile(value, "" if note else style.score(value), note, hatched=position in unstable)
            cell = study.cell("controlled", backend, position)
            found = metric_tile(cell, "controlled", f"{split}_accuracy")
            if number is None or position in unstable or not published.equal(cell, f"{split}_accuracy", number):
                return found
            return replace(found, note=SYMBOLS["equal"])

        what = "Training accuracy" if split == "train" else "Test accuracy"
        for band in bands(study, "controlled", [PRINTED, *study.backends_of("controlled")], tile):
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
