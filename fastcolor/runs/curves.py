"""Draw `history.png`: the curves of history.csv, not smoothed."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastcolor.files import write_whole
from fastcolor.runs.folder import RunFolder

APART = ("stage", "epoch", "warning", "photos_per_s", "seconds", "peak_mb")
MEASURED = (
    "psnr",
    "ciede2000",
    "colorfulness",
    "hue_diversity",
    "mean_b",
    "blue_share",
)  # each with its `_real`, where there is one


def draw_history(folder: RunFolder) -> None:
    """Draw a run's history into `history.png`: a row of panels for each stage or recipe, losses first.

    Without a history, nothing is drawn. Raises UserError for a damaged history.csv.
    """
    by_stage: dict[str, list[dict[str, str]]] = {}
    for row in folder.history():
        by_stage.setdefault(row["stage"], []).append(row)
    if not by_stage:
        return
    measured = [name for name in MEASURED if any(row.get(name) for rows in by_stage.values() for row in rows)]
    width, height = 1 + len(measured), len(by_stage)
    figure = Figure(figsize=(3.4 * width, 2.6 * height))
    figure.subplots_adjust(0.12 / width, 0.1 / height, 1 - 0.02 / width, 1 - 0.1 / height, wspace=0.2, hspace=0.25)
    for i, (stage, rows) in enumerate(by_stage.items()):
        present = [name for name in rows[0] if name not in APART and any(row[name] for row in rows)]
        panels = {f"{stage}: losses": [name for name in present if name.removesuffix("_real") not in MEASURED]}
        panels |= {name: [each for each in present if each.removesuffix("_real") == name] for name in measured}
        for k, (title, names) in enumerate(panels.items()):
            if not names:
                continue
            axis = figure.add_subplot(height, width, i * width + k + 1)
            axis.set_title(title, fontsize=9)
            axis.tick_params(labelsize=7)
            for name in names:
                points = [(int(row["epoch"]), float(row[name])) for row in rows if row[name]]
                axis.plot(
                    *zip(*points, strict=True), ".--" if name.endswith("_real") else ".-", label=name, markersize=3
                )
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.legend(fontsize=6)
    with write_whole(folder.history_picture) as temporary:
        figure.savefig(temporary, dpi=80)
