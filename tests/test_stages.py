"""The four stages one after the other: what each leaves, and what the next one says if it is missing."""

import copy
import csv
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import FIRST, TINY, At, during_fit, opened, prepared
from PIL import Image

from fastcolor import stage1_pretrain_gen, stage2_generate_fakes, stage3_pretrain_critic, stage4_gan, train
from fastcolor.errors import UserError
from fastcolor.networks.checkpoint import HEAD, load_network
from fastcolor.runs.run import open_run
from fastcolor.training import ears
from fastcolor.weights import BUNDLED

pytestmark = pytest.mark.usefixtures("thin")


def split(run) -> dict[str, str]:
    with open(run / "split.csv", newline="") as file:
        return {row["file"]: row["part"] for row in csv.DictReader(file)}


def test_a_run_folder_holds_what_the_readme_says(finished_run):
    readme = (Path(__file__).parents[1] / "fastcolor/README.md").read_text(encoding="utf-8")
    table = readme.partition("## The run folder")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `([\w.]+)/?` \|", table, re.MULTILINE))
    # of `train`, of its --preset photo, of broken photos, of no --data
    of_other_runs = {"coloured.png", "contact_sheet.png", "photo.safetensors", "unreadable.csv", "sample"}
    assert {path.name for path in finished_run.iterdir()} == told - of_other_runs
    assert of_other_runs <= told
    # one state of each stage, for more epochs
    assert {path.stem for path in (finished_run / "resume").iterdir()} == {"stage1", "stage3", "stage4"}
    assert not list(finished_run.rglob(".part-*"))


def test_config_json_says_how_each_stage_was_trained(finished_run, scenes):
    config = json.loads((finished_run / "config.json").read_text())
    assert config["settings"]["data"] == str(scenes)
    assert all(config["stages"][f"stage{n}"]["finished"] for n in (1, 2, 3, 4))
    assert config["stages"]["stage1"]["generator"] == "unet"


def test_config_json_says_what_the_run_was_made_of_and_with(finished_run, scenes):
    config = json.loads((finished_run / "config.json").read_text())
    names = sorted(path.name for path in scenes.iterdir())
    told = json.dumps([names, [(scenes / name).stat().st_size for name in names]])
    assert config["data"] == {"photos": 24, "sha256": hashlib.sha256(told.encode()).hexdigest()}
    top = Path(__file__).parents[1]
    head = subprocess.run(
        ["git", "-C", top, "rev-parse", "HEAD"], check=False, capture_output=True, text=True
    ).stdout.strip()
    for stage in ("stage1", "stage2", "stage3", "stage4"):
        (made_with,) = config["stages"][stage]["made_with"]
        assert (made_with["torch"], made_with["fastai"]) == (version("torch"), version("fastai"))
        assert made_with["command"] == shlex.join(sys.argv)
        assert made_with["threads"] == torch.get_num_threads()
        assert (made_with["git"] or "").removesuffix("-dirty") == (head if (top / ".git").exists() else "")


@pytest.mark.parametrize("changed", ["torch", "git", "compiled", "device"])
def test_a_stage_resumed_with_something_else_says_so_and_writes_it_down(changed, own_run, capsys):
    config = json.loads((own_run / "config.json").read_text())
    (now,) = config["stages"]["stage2"]["made_with"]
    config["stages"]["stage2"] |= {"finished": False, "made_with": [{**now, changed: "1.0"}]}
    (own_run / "config.json").write_text(json.dumps(config))
    stage2_generate_fakes.main(run=str(own_run), resume=True, **TINY)
    said = f"may come out slightly different, as this has changed: {changed} 1.0 -> {now[changed]}\n"
    assert said in capsys.readouterr().out
    config = json.loads((own_run / "config.json").read_text())
    assert [made[changed] for made in config["stages"]["stage2"]["made_with"]] == ["1.0", now[changed]]


def test_photos_that_were_exchanged_since_the_run_began_are_spoken_of(own_run, scenes, tmp_path, capsys):
    photos = Path(shutil.copytree(scenes, tmp_path / "photos"))
    config = json.loads((own_run / "config.json").read_text())
    config["settings"]["data"] = str(photos)
    (own_run / "config.json").write_text(json.dumps(config))
    run = open_run(run=str(own_run))
    prepared(run)
    assert "have changed" not in capsys.readouterr().out
    Image.new("RGB", (40, 40), "red").save(min(photos.iterdir()))
    prepared(run)
    assert f"note: the photos in {photos} have changed since the run began" in capsys.readouterr().out


@pytest.mark.parametrize("exchanged", ["grey mirror", "cache file"])
def test_exchanged_grey_partners_and_cache_files_are_spoken_of_too(exchanged, scenes, tmp_path, capsys):
    photos = Path(shutil.copytree(scenes, tmp_path / "photos"))
    if exchanged == "grey mirror":
        run = opened(scenes, tmp_path / "run", grey=str(photos))
        prepared(run)
        Image.new("RGB", (40, 40), "red").save(min(photos.iterdir()))
    else:
        squares = prepared(opened(scenes, tmp_path / "first")).squares
        file = shutil.copy(squares.filename, tmp_path / "photos.npy")
        run = opened(file, tmp_path / "run")
        prepared(run)
        content = (tmp_path / "photos.npy").read_bytes()
        note = content[:-16].replace(b'"unreadable": []', b'"unreadable" : []')
        length = int.from_bytes(content[-16:-8], "little") + 1
        (tmp_path / "photos.npy").write_bytes(note + length.to_bytes(8, "little") + content[-8:])
    assert "have changed" not in capsys.readouterr().out
    prepared(run)
    assert "have changed since the run began" in capsys.readouterr().out


def test_what_another_process_did_since_a_run_was_opened_is_kept(own_run):
    config = (own_run / "config.json").read_text()
    before = json.loads(config)
    before["stages"] = {}
    (own_run / "config.json").write_text(json.dumps(before))
    run = open_run(run=str(own_run), resume=True, device="cpu", precision="fp32")
    (own_run / "config.json").write_text(config)  # another process came to the end of all stages meanwhile
    prepared(run)
    begun = json.loads(config)["stages"]["stage1"]
    with run.stage("stage1", epochs=begun["epochs"], bs=begun["bs"]) as is_needed:
        assert not is_needed
    assert (own_run / "stage4_gen.safetensors").exists()
    stages = json.loads((own_run / "config.json").read_text())["stages"]
    assert stages.keys() == {"stage1", "stage2", "stage3", "stage4"}


def test_a_run_that_another_process_began_otherwise_since_is_left_alone(scenes, tmp_path):
    run = opened(scenes, tmp_path / "run")
    prepared(opened(scenes, tmp_path / "run", seed=7))
    with pytest.raises(UserError, match="another process has begun a run with other settings in"):
        prepared(run)
    assert not run.folder.lock.is_locked


def test_a_flag_that_makes_no_sense_costs_nothing_that_was_there(own_run):
    with pytest.raises(UserError, match="--often must be FOLDER.*, not cats"):
        stage4_gan.main(run=str(own_run), force=True, often="cats", **TINY)
    assert (own_run / "stage4_gen.safetensors").exists()
    assert open_run(run=str(own_run)).folder.config["stages"]["stage4"]["finished"]


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,2\n",
        b"stage,epoch\nstage1,x\n",
        b"stage,epoch\nstage1,1" + 400 * b"0" + b"\n",
        b"stage,epoch,psnr\nstage1,1,high\n",
        b"stage,epoch,psnr\nstage1,1,1e308\n",
        b"stage,epoch,$\\frac$\nstage1,1,2\n",
        b"stage,epoch\n$\\frac$,1\n",
        b"stage,epoch\n\xff,1\n",
        b"stage,epoch\nstage1,1,2\n",
    ],
)
def test_a_history_that_is_none_is_named_and_costs_nothing(content, own_run):
    (own_run / "history.csv").write_bytes(content)
    with pytest.raises(UserError, match="history.csv is damaged or not a history: delete it"):
        stage2_generate_fakes.main(run=str(own_run), force=True, **TINY)
    assert (own_run / "stage4_gen.safetensors").exists()
    assert open_run(run=str(own_run)).folder.config["stages"].keys() == {"stage1", "stage2", "stage3", "stage4"}


def test_fakes_are_made_of_training_photos_and_of_no_held_out_one(finished_run):
    parts = split(finished_run)
    fakes = {str(path.relative_to(finished_run / "fakes"))[:-4] for path in (finished_run / "fakes").rglob("*.png")}
    assert fakes == {name for name, part in parts.items() if part == "train"}
    assert "valid" in parts.values()


def test_no_stage_draws_a_training_batch_from_held_out_photos(scenes, tmp_path):
    """Held-out photos are made plain once they are chosen: no training photo is plain then, all in validation are."""
    data, run, plain = Path(shutil.copytree(scenes, tmp_path / "data")), tmp_path / "run", {True: [], False: []}
    prepared(opened(data, run))
    for name, part in split(run).items():
        if part == "valid":
            Image.new("RGB", (40, 40), "red").save(data / name)

    def look(callback):
        plain[callback.training] += (callback.xb[0][:, 0].flatten(1).std(dim=1) < 1e-3).tolist()

    common = {"run": str(run), **TINY}
    with during_fit(At("before_batch", look, FIRST)):
        stage1_pretrain_gen.main(pretrained="none", epochs=1, **common)
        stage2_generate_fakes.main(**common)
        stage3_pretrain_critic.main(epochs=1, **common)
        stage4_gan.main(epochs=1, **common)
    assert len(plain[True]) > 50
    assert plain[False]
    assert all(plain[False])
    assert not any(plain[True])


def test_stage_2_makes_only_the_fakes_that_are_missing(own_run):
    fakes = sorted((own_run / "fakes").iterdir())
    config = json.loads((own_run / "config.json").read_text())
    config["stages"]["stage2"]["finished"] = False  # as after a kill
    (own_run / "config.json").write_text(json.dumps(config))
    expected = Image.open(fakes[0]).tobytes()
    fakes[0].unlink()
    kept = fakes[1].stat().st_mtime_ns
    stage2_generate_fakes.main(run=str(own_run), resume=True, **TINY)
    assert fakes[1].stat().st_mtime_ns == kept
    again = np.frombuffer(Image.open(fakes[0]).tobytes(), np.uint8).astype(int)
    assert np.abs(again - np.frombuffer(expected, np.uint8)).max() <= 1


def test_stage_2_killed_after_its_last_fake_resumes_to_its_end(own_run):
    config = json.loads((own_run / "config.json").read_text())
    config["stages"]["stage2"]["finished"] = False
    (own_run / "config.json").write_text(json.dumps(config))
    stage2_generate_fakes.main(run=str(own_run), resume=True, **TINY)
    assert json.loads((own_run / "config.json").read_text())["stages"]["stage2"]["finished"]


def test_a_missing_fake_is_named_with_the_command_that_makes_it(own_run):
    missing = sorted((own_run / "fakes").iterdir())[2]
    missing.unlink()
    with pytest.raises(UserError, match=f"{missing.name}.*stage2_generate_fakes"):
        stage3_pretrain_critic.main(run=str(own_run), force=True, epochs=1, **TINY)


@pytest.mark.parametrize(
    ("stage", "missing", "named"),
    [
        (stage2_generate_fakes, "stage1_gen.safetensors", "stage1_pretrain_gen"),
        (stage3_pretrain_critic, "fakes", "stage2_generate_fakes"),
        (stage4_gan, "stage3_critic.safetensors", "stage3_pretrain_critic"),
    ],
)
def test_a_stage_names_the_command_that_must_run_before_it(stage, missing, named, own_run):
    (own_run / missing).rename(own_run.parent / missing)
    with pytest.raises(UserError, match=f"{missing} is missing: run `python -m fastcolor.{named} --run {own_run}`"):
        stage.main(run=str(own_run), force=True, **TINY)


def test_a_stage_that_was_stopped_must_be_finished_before_the_next(own_run):
    config = json.loads((own_run / "config.json").read_text())
    config["stages"]["stage1"]["finished"] = False
    (own_run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="stage1 was stopped before its end: finish it with .*--resume"):
        stage2_generate_fakes.main(run=str(own_run), force=True, **TINY)


def test_later_stages_do_not_take_other_settings_even_if_forced(own_run):
    before = sorted(path.name for path in own_run.iterdir())
    with pytest.raises(UserError, match="to change them, run stage 1 with these and --force"):
        stage2_generate_fakes.main(run=str(own_run), force=True, **{**TINY, "size": 48})
    assert sorted(path.name for path in own_run.iterdir()) == before


def test_a_stage_of_a_run_that_does_not_exist_names_stage_1(tmp_path):
    with pytest.raises(UserError, match="stage1_pretrain_gen --run .*nowhere"):
        stage4_gan.main(run=str(tmp_path / "nowhere"), **TINY)
    assert not (tmp_path / "nowhere").exists()


def test_the_gan_stage_starts_from_stages_1_and_3(own_run):
    """With learning rates of nothing, stage 4 gives the generator of stage 1, its last layer made more vivid."""
    stage4_gan.main(run=str(own_run), force=True, epochs=1, lr=0.0, critic_lr=0.0, switcher="fixed", **TINY)
    first, last = (load_network(own_run / f"stage{n}_gen.safetensors", "generator")[0] for n in (1, 4))
    for name, parameter in first.named_parameters():
        assert name in HEAD or (dict(last.named_parameters())[name] == parameter).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fastais_networks_go_through_all_stages_too(scenes, tmp_path):
    run = tmp_path / "run"
    common = {"run": str(run), "data": str(scenes), "limit": 10, **TINY}
    stage1_pretrain_gen.main(generator="dynamic_unet", pretrained="none", epochs=1, **common)
    stage2_generate_fakes.main(**common)
    stage3_pretrain_critic.main(critic="gan_critic", epochs=1, **common)
    stage4_gan.main(epochs=1, switcher="fixed", **common)
    _, about = load_network(run / "stage4_gen.safetensors", "generator")
    assert (about["config"]["name"], about["stage"]) == ("dynamic_unet", 4)
    from fastcolor import predict

    photo = next(scenes.iterdir())
    assert predict(photo, run / "stage4_gen.safetensors").size == Image.open(photo).size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "vit"}, "--generator vit is unknown"),
        ({"arch": "vgg16"}, "--arch vgg16 does not fit --generator unet"),
        ({"generator": "hint_unet", "arch": "vgg16"}, "--arch vgg16 does not fit --generator hint_unet"),
        ({"epochs": 0}, "--epochs must be 1 or more, not 0"),
        ({"saturation": -1.0}, "--saturation must be 0 or more, not -1.0"),
        ({"pretrained": "/nowhere/w.safetensors"}, "/nowhere/w.safetensors does not exist"),
    ],
)
def test_stage_1_names_flags_that_do_not_exist(options, message, scenes, tmp_path):
    with pytest.raises(UserError, match=message):
        stage1_pretrain_gen.main(data=str(scenes), run=str(tmp_path / "run"), **{**TINY, **options})
    assert not (tmp_path / "run").exists()


def test_without_a_connection_imagenet_weights_name_the_ways_out(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UserError, match="resnet18-f37072fd.pth into .*empty.*--pretrained bundled, none"):
        stage1_pretrain_gen.main(data=str(scenes), run=str(tmp_path / "run"), pretrained="imagenet", **TINY)


def test_damaged_imagenet_weights_are_named(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "home" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK cut short")
    with pytest.raises(UserError, match="resnet18-f37072fd.pth is damaged.*delete it"):
        stage1_pretrain_gen.main(data=str(scenes), run=str(tmp_path / "run"), pretrained="imagenet", **TINY)


def test_weights_of_another_network_are_no_starting_point(finished_run, scenes, tmp_path):
    weights = str(finished_run / "stage4_gen.safetensors")
    common = {"data": str(scenes), "run": str(tmp_path / "run"), "pretrained": weights, **TINY}
    for options in ({"generator": "dynamic_unet"}, {"arch": "resnet34"}):
        with pytest.raises(UserError, match="holds another network"):
            stage1_pretrain_gen.main(**options, **common)


def test_another_runs_weights_are_a_starting_point(finished_run, scenes, tmp_path):
    weights = finished_run / "stage4_gen.safetensors"
    common = {"data": str(scenes), "run": str(tmp_path / "run"), "limit": 10, **TINY}
    stage1_pretrain_gen.main(pretrained=str(weights), epochs=1, lr=0.0, **common)
    given, taken = (
        load_network(path, "generator")[0] for path in (weights, tmp_path / "run" / "stage1_gen.safetensors")
    )
    for name, parameter in given.named_parameters():
        assert (dict(taken.named_parameters())[name] == parameter).all()


def test_the_weights_that_ship_are_the_usual_starting_point_and_go_on_looking_at_larger_photos(scenes, tmp_path):
    stage1_pretrain_gen.main(data=str(scenes), run=str(tmp_path / "run"), limit=10, epochs=1, lr=0.0, **TINY)
    (given, before), (taken, after) = (
        load_network(path, "generator") for path in (BUNDLED, tmp_path / "run" / "stage1_gen.safetensors")
    )
    assert given.config == taken.config
    assert after["size"] == before["size"] > TINY["size"]
    for name, parameter in given.named_parameters():
        assert (dict(taken.named_parameters())[name] == parameter).all()


def test_the_recipe_of_the_weights_that_ship_runs_with_one_command(scenes, tmp_path, capsys):
    flags = {"gen_epochs": 2, "gan_epochs": 1, "data": str(scenes), "run": str(tmp_path / "run"), **TINY}
    with pytest.MonkeyPatch.context() as patch:  # the encoder's weights and the loss's are downloads
        patch.setitem(train.PRESETS["photo"]["stage1"], "pretrained", "none")
        for stage in ("stage1", "stage4"):
            patch.setitem(train.PRESETS["photo"][stage], "loss", "chroma")
        patch.setattr(ears, "STEPS", 2)
        train.main(preset="photo", **flags)
        presets = copy.deepcopy(train.PRESETS["photo"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for stage, changed in (("stage1", {"epochs": 2}), ("stage3", {}), ("stage4", {"epochs": 1})):
        asked = {**presets[stage], **changed, "bs": 4}
        assert asked.items() <= config["stages"][stage].items()
    assert config["settings"]["test"] == 0.05
    _, about = load_network(tmp_path / "run" / "photo.safetensors", "generator")
    assert about["size"] == about["taught"] == train.PRESETS["photo"]["ship"]["size"]
    assert f"--weights {tmp_path / 'run' / 'photo.safetensors'}" in capsys.readouterr().out
    with pytest.raises(UserError, match="--preset postcard is unknown: choose quick or photo"):
        train.main(preset="postcard")
    with pytest.raises(UserError, match="--preset photo can't train dynamic_unet"):  # not after hours
        train.main(preset="photo", generator="dynamic_unet", **flags)
