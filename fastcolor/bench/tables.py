"""The benchmarks' figures as Markdown and as plots. The READMEs show what is made here from a benchmark's JSON file."""

import json
from io import BytesIO
from pathlib import Path

from PIL import Image

from fastcolor.bench.speed import STAGES
from fastcolor.files import write_whole
from fastcolor.photo.write import save_photo


def _range(figures: dict[str, float], form: str = "{:,.1f}") -> str:
    """Median, and in brackets least and most, of several rounds."""
    return f"{form.format(figures['median'])} ({form.format(figures['least'])} to {form.format(figures['most'])})"


def _workplace(result: dict, libraries: tuple[str, ...] = ("torch", "fastai")) -> str:
    """Date, machine, versions."""
    machine, versions = result["machine"], result["machine"]["versions"]
    device = "" if machine["device"] == "cpu" else f"{machine['device']}, "
    names = ", ".join(f"{name} {versions[name]}" for name in libraries)
    return (
        f"{machine['date']}, {device}{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {versions['python']}, {names}"
    )


def _about(result: dict) -> str:
    """One sentence: date, machine, versions, settings."""
    settings = result["settings"]
    arithmetic = (
        f"stock in fp32, fastcolor in {result['precision']}, " if "arch" in result or "rounds" in result else ""
    )
    photos = f"{settings['size']} px, batches of {settings['bs']}, photos: {settings['data']}"
    return f"{_workplace(result)}; {arithmetic}{photos}."


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def speed_table(result: dict) -> str:
    """What `fastcolor bench` measured, as Markdown."""
    rows = []
    for stage, title in STAGES.items():
        figures = result["summary"][stage]
        waiting = [
            f"{figures[s]['waiting']['median']:.0%}" if "waiting" in figures[s] else "" for s in ("stock", "fastcolor")
        ]
        memory = [f"{figures[s]['memory_mb']['median']:,.0f}" for s in ("stock", "fastcolor")]
        rates = [_range(figures[s]["photos_per_s"]) for s in ("stock", "fastcolor")]
        rows.append(
            [
                title,
                *rates,
                f"**{_range(figures['ratio'], '{:.1f}')}**",
                " / ".join(waiting).strip(" /"),
                " / ".join(memory),
            ]
        )
    head = ["", "stock fastai, photos/s", "fastcolor, photos/s", "ratio", "waiting for input", "peak memory, MB"]
    rounds = len(result["rounds"])
    return (
        f"{_table(head, rows)}\nMedian (least to most) of {rounds} alternated rounds; stock / fastcolor. "
        f"{_about(result)}\n"
    )


def scaling_table(result: dict) -> str:
    """What `fastcolor bench --scaling` measured, as Markdown."""
    rows = [
        [row["varied"], f"{row['size']}", f"{row['bs']}", f"{row['photos']:,}", _range(row["photos_per_s"])]
        for row in result["summary"]
    ]
    head = ["varied", "px", "batch", "photos", "photos/s"]
    rounds = len(result["summary"][0]["rounds"])
    return (
        f"{_table(head, rows)}\nStage 1 unless it says input; median (least to most) of {rounds} rounds in turn. "
        f"{_about(result)}\n"
    )


def quality_table(result: dict) -> str:
    """What `fastcolor bench --quality` measured, as Markdown."""
    stock, ours = ({point["share"]: point for point in result["curves"][system]} for system in ("stock", "fastcolor"))
    rows = [
        ["grey", *(f"{result['grey'][n]:.{d}f}" for n, d in (("psnr", 2), ("lpips", 3)) for _ in range(2)), "0", "0"]
    ]
    rows += [
        [
            f"{a['seconds']:,.0f} / {b['seconds']:,.0f}",
            *(
                f"{point[name]:.{digits}f}"
                for name, digits in (("psnr", 2), ("lpips", 3), ("colorfulness", 1))
                for point in (a, b)
            ),
        ]
        for a, b in ((stock[share], ours[share]) for share in stock if share in ours)
    ]
    both = [f"{name}, {system}" for name in ("PSNR", "LPIPS", "colourfulness") for system in ("stock", "fastcolor")]
    real = result["colorfulness_real"]
    return (
        f"{_table(['seconds, stock / fastcolor', *both], rows)}\n{result['photos']} held-out photos, "
        f"colourfulness {real:.1f}; LPIPS on SqueezeNet features; stock DynamicUnet on {result['arch']}; "
        f"both begin with {_begin(result)}. {_about(result)}\n"
    )


def _begin(result: dict) -> str:
    return "random weights" if result["pretrained"] == "none" else "ImageNet's weights"


def precisions_table(result: dict) -> str:
    """What `fastcolor bench --precisions` measured, as Markdown."""
    rows = []
    for network in ("stage 1", "GAN"):
        for metric in result["summary"]["fp32"][network]:
            values = [result["summary"][precision][network][metric] for precision in ("fp32", "bf16")]
            rows.append([network, metric, *(f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in values)])
    times = {p: [run["seconds"] for run in result["runs"] if run["precision"] == p] for p in ("fp32", "bf16")}
    rows.append(["all four stages", "seconds", *(f"{min(t):.0f} to {max(t):.0f}" for t in times.values())])
    seeds = len(times["fp32"])
    return (
        f"{_table(['', '', 'fp32', 'bf16'], rows)}\nHeld-out scenes; mean ± standard deviation over {seeds} seeds. "
        f"{_about(result)}\n"
    )


def transfer_table(result: dict) -> str:
    """What `fastcolor bench --transfer` measured, as Markdown."""
    curves = {start: {point["share"]: point for point in curve} for start, curve in result["curves"].items()}
    shares = sorted({share for curve in curves.values() for share in curve})
    figures = (("PSNR", "psnr", 2), ("LPIPS", "lpips", 3), ("colourfulness", "colorfulness", 1))
    head = ["seconds", *(f"{title}, {start}" for title, _, _ in figures for start in curves)]

    def cells(point_of) -> list[str]:
        return [
            f"{point[name]:.{digits}f}" if (point := point_of(start)) else ""
            for _, name, digits in figures
            for start in curves
        ]

    rows = [
        [f"{share * result['seconds']:,.0f}", *cells(lambda start, share=share: curves[start].get(share))]
        for share in shares
    ]
    real = result["colorfulness_real"]
    photos = f"{result['trained_on']} photos to learn from, {result['photos']} held out, of colourfulness {real:.1f}"
    return (
        f"{_table(head, [['grey', *cells(lambda start: result['grey'])], *rows])}\n{photos}; "
        f"fastcolor in {result['precision']}. {_about(result)}\n"
    )


def inference_table(result: dict) -> str:
    """What `fastcolor bench --inference` measured, as Markdown."""
    rows = [
        [
            f"{row['megapixels']:g} ({row['width']:,} x {row['height']:,})",
            *(f"{row['later'][part]['median']:.2f}" for part in ("decode", "color", "encode")),
            _range(row["later"]["all"], "{:.2f}"),
            f"{row['first']:.1f}",
            f"{row['peak_mb']:,.0f}",
        ]
        for row in result["rows"]
    ]
    head = [
        "megapixels",
        "decode, s",
        "colour, s",
        "encode, s",
        "all, s",
        "the first, from the start of Python, s",
        "peak memory, MB",
    ]
    rounds = result["rounds_each"]
    return (
        f"{_table(head, rows)}\nJPEG to JPEG, as `fastcolor colorize` does it, median (least to most) of {rounds} "
        f"after the first; memory of the whole process. {_workplace(result, ('numpy', 'onnxruntime'))}.\n"
    )


def chroma_table(result: dict) -> str:
    """What `fastcolor bench --chroma` measured, as Markdown."""
    found = {(row["kind"], row["way"], row["where"]): row["ciede2000"] for row in result["rows"]}
    kinds = list(dict.fromkeys(row["kind"] for row in result["rows"]))
    columns = [(way, where) for where in ("all", "edges") for way in ("bilinear", "guided")]
    rows = [[kind, *(f"{found[kind, *column]:.2f}" for column in columns)] for kind in kinds]
    head = [
        "the colours",
        *(f"{way}, {'all pixels' if where == 'all' else 'near hard edges'}" for way, where in columns),
    ]
    photos = f"{result['photos']} photos: {result['settings']['data']}"
    return f"{_table(head, rows)}\nMean CIEDE2000, smaller is better; {photos}. {_workplace(result)}.\n"


def recipes_table(result: dict) -> str:
    """What `fastcolor bench --recipes` measured, as Markdown."""
    rows = []
    for row in result["rows"]:
        of_both = [row[system] for system in ("reference", "fastcolor")]
        rates = [_range(figures["photos_per_s"], "{:.2f}") for figures in of_both]
        memory = " / ".join(f"{figures['memory_mb']['median']:,.0f}" for figures in of_both)
        blocks = f", {row['blocks']} blocks" if row["recipe"] == "cyclegan" else ""
        rows.append([row["recipe"] + blocks, str(row["bs"]), *rates, f"**{_range(row['ratio'], '{:.2f}')}**", memory])
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    head = ["", "batch", "reference, photos/s", "fastcolor, photos/s", "ratio", "peak memory, MB"]
    return (
        f"{_table(head, rows)}\nSteps alone, median (least to most) of {len(result['rows'][0]['rounds'])} alternated "
        f"rounds; reference / fastcolor. {_workplace(result)}; {threads}, reference in fp32, "
        f"fastcolor in {result['precision']}, {result['settings']['size']} px.\n"
    )


def processes_table(result: dict) -> str:
    """What `fastcolor bench --processes` measured, as Markdown."""
    rows, alone = [], {}
    for row in result["summary"]:
        reached = row["photos_per_s"]["median"]
        times = f"{reached / alone.setdefault(row['stage'], reached):.2f}"
        figures = [_range(row["photos_per_s"]), times, _range(row["talking"], "{:.1%}"), f"{row['gradient_mb']:.0f}"]
        rows.append([STAGES[row["stage"]], f"{row['processes']}", *figures])
    head = ["", "processes", "photos/s, all together", "times the first", "talk and waiting", "gradients a step, MB"]
    return f"{_table(head, rows)}\nMedian (least to most). {_about(result)}\n"


TABLES = {
    "recipes": recipes_table,
    "speed": speed_table,
    "scaling": scaling_table,
    "quality": quality_table,
    "precisions": precisions_table,
    "inference": inference_table,
    "chroma": chroma_table,
    "processes": processes_table,
    "transfer": transfer_table,
}


def write(name: str, result: dict, out: Path) -> None:
    """Write `NAME.json`, `NAME.md` and (for learning curves) `NAME.png` into the folder `out`, and print the table."""
    table = TABLES[name](result)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", table)):
        with write_whole(out / (name + suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if "curves" in result:
        plot_curves(result, out / f"{name}.png")
    print(f"\n{table}\nall figures in {out / name}.json")


def plot_curves(result: dict, path: Path) -> None:
    """Write a PNG of PSNR and LPIPS against seconds of training."""
    import matplotlib

    matplotlib.use("Agg")  # no window
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, name, title in zip(
        axes, ("psnr", "lpips"), ("PSNR in dB (higher is better)", "LPIPS (lower is better)"), strict=True
    ):
        for system, curve in result["curves"].items():
            axis.plot([p["seconds"] for p in curve], [p[name] for p in curve], marker="o", label=system)
        axis.axhline(result["grey"][name], color="grey", linestyle=":", label="grey")
        axis.set(xlabel="seconds of training", title=title)
    axes[0].legend()
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    pyplot.close(figure)
    save_photo(Image.open(drawn).convert("RGB").quantize(64), path)  # 64 colours: a fraction of the file size
