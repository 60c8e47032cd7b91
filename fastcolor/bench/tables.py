"""The benchmarks' figures as Markdown and as a plot: what the README shows is made here, from the benchmark's own file."""

import json
from io import BytesIO
from pathlib import Path

from PIL import Image

from fastcolor.bench.speed import STAGES
from fastcolor.files import save_photo, write_whole


def _range(figures: dict[str, float], form: str = "{:,.1f}") -> str:
    """Median and, in brackets, least and most of several rounds."""
    return f"{form.format(figures['median'])} ({form.format(figures['least'])} to {form.format(figures['most'])})"


def _about(result: dict) -> str:
    """One sentence: date, machine, versions, settings."""
    machine, settings, versions = result["machine"], result["settings"], result["machine"]["versions"]
    device = "" if machine["device"] == "cpu" else f"{machine['device']}, "
    arithmetic = f"stock in fp32, fastcolor in {result['precision']}, " if "curves" in result or "rounds" in result else ""
    names = ", ".join(f"{name} {versions[name]}" for name in ("torch", "fastai"))
    return (
        f"{machine['date']}, {device}{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {versions['python']}, {names}; {arithmetic}"
        f"{settings['size']} px, batches of {settings['bs']}, photos: {settings['data']}."
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def speed_table(result: dict) -> str:
    """What `fastcolor bench` measured, as Markdown."""
    rows = []
    for stage, title in STAGES.items():
        figures = result["summary"][stage]
        waiting = [f"{figures[s]['waiting']['median']:.0%}" if "waiting" in figures[s] else "" for s in ("stock", "fastcolor")]
        memory = [f"{figures[s]['memory_mb']['median']:,.0f}" for s in ("stock", "fastcolor")]
        rates = [_range(figures[s]["photos_per_s"]) for s in ("stock", "fastcolor")]
        rows.append([title, *rates, f"**{_range(figures['ratio'], '{:.1f}')}**", " / ".join(waiting).strip(" /"), " / ".join(memory)])
    head = ["", "stock fastai, photos/s", "fastcolor, photos/s", "ratio", "waiting for input", "peak memory, MB"]
    rounds = len(result["rounds"])
    return f"{_table(head, rows)}\nMedian (least to most) of {rounds} alternated rounds; stock / fastcolor. {_about(result)}\n"


def scaling_table(result: dict) -> str:
    """What `fastcolor bench --scaling` measured, as Markdown."""
    rows = [
        [row["varied"], f"{row['size']}", f"{row['bs']}", f"{row['photos']:,}", _range(row["photos_per_s"])]
        for row in result["summary"]
    ]
    head = ["varied", "px", "batch", "photos", "photos/s"]
    rounds = len(result["summary"][0]["rounds"])
    return f"{_table(head, rows)}\nStage 1 unless it says input; median (least to most) of {rounds} rounds in turn. {_about(result)}\n"


def quality_table(result: dict) -> str:
    """What `fastcolor bench --quality` measured, as Markdown."""
    stock, ours = ({point["share"]: point for point in result["curves"][system]} for system in ("stock", "fastcolor"))
    rows = [["grey", *(f"{result['grey'][n]:.{d}f}" for n, d in (("psnr", 2), ("lpips", 3)) for _ in range(2)), "0", "0"]]
    rows += [
        [
            f"{a['seconds']:,.0f} / {b['seconds']:,.0f}",
            *(f"{point[name]:.{digits}f}" for name, digits in (("psnr", 2), ("lpips", 3), ("colorfulness", 1)) for point in (a, b)),
        ]
        for a, b in ((stock[share], ours[share]) for share in stock if share in ours)
    ]
    both = [f"{name}, {system}" for name in ("PSNR", "LPIPS", "colourfulness") for system in ("stock", "fastcolor")]
    real = result["colorfulness_real"]
    return (
        f"{_table(['seconds, stock / fastcolor', *both], rows)}\n{result['photos']} held-out photos, colourfulness {real:.1f}; LPIPS on "
        f"SqueezeNet features; stock DynamicUnet on {result['arch']}; both begin with {_begin(result)}. {_about(result)}\n"
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
        f"{_table(['', '', 'fp32', 'bf16'], rows)}\nHeld-out scenes; mean ± standard deviation over {seeds} seeds. {_about(result)}\n"
    )


TABLES = {"speed": speed_table, "scaling": scaling_table, "quality": quality_table, "precisions": precisions_table}


def write(name: str, result: dict, out: Path) -> None:
    """Write `NAME.json`, `NAME.md` and, of the quality, `NAME.png` into the folder `out`, and print the table."""
    table = TABLES[name](result)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", table)):
        with write_whole(out / (name + suffix)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if name == "quality":
        plot_quality(result, out / "quality.png")
    print(f"\n{table}\nall figures in {out / name}.json")


def plot_quality(result: dict, path: Path) -> None:
    """PSNR and LPIPS against seconds of training, both pipelines, as PNG; fastai brings matplotlib along."""
    import matplotlib

    matplotlib.use("Agg")  # no window
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, name, title in zip(axes, ("psnr", "lpips"), ("PSNR in dB (higher is better)", "LPIPS (lower is better)"), strict=True):
        for system, curve in result["curves"].items():
            axis.plot([p["seconds"] for p in curve], [p[name] for p in curve], marker="o", label=system)
        axis.axhline(result["grey"][name], color="grey", linestyle=":", label="grey")
        axis.set(xlabel="seconds of training", title=title)
    axes[0].legend()
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100)
    pyplot.close(figure)
    save_photo(Image.open(drawn).convert("RGB").quantize(64), path)  # a fraction of the size
