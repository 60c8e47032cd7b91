"""Ray on this machine: what all commands make on it; processes and a node that die, and photos that kill."""

import csv
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from test_servers import call, contents

from fastcolor.cli import run_command
from fastcolor.colorize import shared
from fastcolor.errors import UserError
from fastcolor.evaluate.command import main as evaluate
from fastcolor.networks.pretrained import load_imagenet
from fastcolor.prep.clean import clean
from fastcolor.prep.crop import crop
from fastcolor.prep.greyscale import greyscale
from fastcolor.remote.on_ray import on_ray
from fastcolor.scenes.folder import write_scenes
from fastcolor.training import features

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
ray = pytest.importorskip("ray")
parquet = pytest.importorskip("pyarrow.parquet")
psutil = pytest.importorskip("psutil")
s3fs = pytest.importorskip("s3fs")
PHOTOS = 60


def patiently(begin):
    """What `begin` gives. Ray takes a node for lost that is not there after 30 seconds, as on a busy machine."""
    for _ in range(3):
        try:
            return begin()
        except Exception as error:  # Ray raises bare ones
            if "timed out" not in str(error):
                raise
            ray.shutdown()
    return begin()


@pytest.fixture
def cluster():
    """Two nodes of one core each; the command's own processes run on the first one."""
    from ray.cluster_utils import Cluster

    one = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = patiently(lambda: Cluster(initialize_head=True, head_node_args=one))
    made.second = patiently(lambda: made.add_node(**one))
    yield made
    made.shutdown()


def actors(cluster):
    """The processes that colour: those of this cluster, as other tests may run beside."""
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()]
    found = [each for pid in raylets for each in psutil.Process(pid).children(recursive=True)]
    return [each for each in found if "MapWorker" in "".join(each.cmdline()[:1])]


def wait_for(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_process_and_a_node_die_and_nothing_is_lost_or_made_twice(cluster, tmp_path, capsys):
    write_scenes(tmp_path / "in", PHOTOS, 400)
    (tmp_path / "in/broken.png").write_bytes(b"no photo")
    assert call(tmp_path / "in", "-o", tmp_path / "expected") == 1
    capsys.readouterr()
    out, killed = tmp_path / "out", []

    def disturb():
        wait_for(lambda: len(contents(out)) >= 5)
        killed.extend(actors(cluster))  # one may still load its network
        for each in killed:
            each.send_signal(signal.SIGKILL)
        wait_for(lambda: len(contents(out)) >= 25)
        cluster.remove_node(cluster.second, allow_graceful=False)
        killed.append(cluster.second)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    assert call(tmp_path / "in", "-o", out, "--ray", cluster.address) == 1
    disturber.join()
    told = capsys.readouterr()
    assert killed[-1] is cluster.second
    assert len(killed) > 1
    assert f"{PHOTOS} coloured" in told.out
    assert "retried, as the process died that worked on it" in told.out
    assert "broken.png: " in told.err
    assert contents(out) == contents(tmp_path / "expected")
    rows = parquet.read_table(out / ".fastcolor/manifest").to_pylist()
    assert len(rows) == PHOTOS + 1
    assert {row["output"] for row in rows if row["state"] == "coloured"} == set(contents(out))
    assert 0 < sum(row["retried"] for row in rows) < 40
    times = {name: (out / name).stat().st_mtime_ns for name in contents(out)}
    assert call(tmp_path / "in", "-o", out, "--ray", cluster.address) == 1
    assert f"0 coloured, {PHOTOS} skipped: already done" in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in contents(out)} == times


def begin():
    """A process that dies of the task "poison", and of "unlucky" once."""

    def work(tasks):
        for key, folder in tasks:
            Path(folder, f"{key}-{time.time_ns()}").touch()
            if key == "poison" or (key == "unlucky" and len(list(Path(folder).glob("unlucky-*"))) == 1):
                os.kill(os.getpid(), signal.SIGKILL)
            yield key, key.upper()

    return work


def test_a_task_that_kills_is_left_out_after_three_tries(tmp_path):
    ray.cloudpickle.register_pickle_by_value(__import__(__name__))
    keys = [*(f"task{number}" for number in range(30)), "poison", "unlucky", *(f"more{number}" for number in range(8))]
    tasks = dict.fromkeys(keys, str(tmp_path))
    done = {each.key: each for each in patiently(lambda: list(on_ray("local", tasks, begin)))}
    assert {key: each.result for key, each in done.items()} == {
        key: None if key == "poison" else key.upper() for key in keys
    }
    assert done["poison"].tries == 3
    assert done["unlucky"].tries == 2
    begun = [path.name.rpartition("-")[0] for path in tmp_path.iterdir()]
    assert {key: begun.count(key) for key in keys} == {key: done[key].tries for key in keys}
    assert max(begun.count(key) for key in keys if key not in ("poison", "unlucky")) == 1


def test_without_a_cluster_there_is_a_sentence(tmp_path, capsys):
    write_scenes(tmp_path / "in", 1, 40)
    assert call(tmp_path / "in", "-o", tmp_path / "out", "--ray", "127.0.0.1:9") == 2
    told = capsys.readouterr().err
    assert "--ray 127.0.0.1:9: no cluster answers there" in told
    assert told.count("\n") == 1


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Two processes on this machine, for `--ray local`, which can reach an S3 server, and networks with random weights
    to judge photos.
    """
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    top = tmp_path_factory.mktemp("hub")
    (top / "hub/checkpoints").mkdir(parents=True)
    torch.manual_seed(0)
    for name, weights in (
        ("resnet18", torchvision.models.ResNet18_Weights),
        ("squeezenet1_1", torchvision.models.SqueezeNet1_1_Weights),
    ):
        state = torchvision.models.get_model(name, weights=None).state_dict()
        torch.save(state, top / "hub/checkpoints" / weights.IMAGENET1K_V1.url.rpartition("/")[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(top))
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "me")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        ray.cloudpickle.register_pickle_by_value(__import__(__name__))
        own = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 * 2**20}
        # not "auto": it would join a cluster that another test has begun
        patiently(lambda: ray.init("local", log_to_driver=False, **own))
        yield
        ray.shutdown()
    server.stop()


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Photos in the folder `in`: a pair of duplicates, a name that is not UTF-8, and one that can't be read."""
    monkeypatch.chdir(tmp_path)
    write_scenes(tmp_path / "in", 12, 80)
    first = min(Path("in").iterdir())
    Image.open(first).resize((70, 70)).save("in/smaller.png")
    Path(os.fsdecode(b"in/\xff.png")).write_bytes(first.read_bytes())
    Path("in/broken.png").write_bytes(b"no photo")


def begin_deadly(*given):
    """As `_begin`, but the photo poison.png kills its process, as one does that needs more memory than there is."""
    work = shared._begin(*given)  # in a process of Ray, where nothing is patched

    def watched(tasks):
        for key, task in tasks:
            if task[0].name.endswith("poison.png"):
                os.kill(os.getpid(), signal.SIGKILL)
            yield key, task

    return lambda tasks: work(watched(tasks))


def test_a_photo_that_kills_is_listed_and_the_others_are_colored(processes, album, monkeypatch, capsys):
    assert call("in", "-o", "expected") == 1
    Path("in/poison.png").write_bytes(Path("in/smaller.png").read_bytes())
    monkeypatch.setattr(shared, "_begin", begin_deadly)
    capsys.readouterr()
    assert call("in", "-o", "out", "--ray", "local") == 1
    assert "poison.png: its process died 3 times while it was coloured" in capsys.readouterr().err
    assert contents("out") == contents("expected")
    rows = {row["input"]: row for row in parquet.read_table("out/.fastcolor/manifest").to_pylist()}
    assert (rows["in/poison.png"]["state"], rows["in/poison.png"]["retried"]) == ("failed", 2)
    assert sum(row["state"] == "failed" for row in rows.values()) == 2


def test_folders_are_prepared_as_without_ray(processes, album, capsys):
    for command, options in ((greyscale, ()), (crop, ("--size", "16"))):
        name = command.__name__
        assert run_command(command, ["in", f"{name}-here", *options]) == 0
        assert run_command(command, ["in", f"{name}-ray", *options, "--ray", "local"]) == 0
        assert contents(f"{name}-ray") == contents(f"{name}-here")
        assert len(contents(f"{name}-ray")) == 15
        capsys.readouterr()
        assert run_command(command, ["in", f"{name}-ray", *options, "--ray", "local"]) == 0
        assert capsys.readouterr().out == "0 written, 14 skipped, 1 unreadable\n"
    assert run_command(clean, ["in", "clean-here"]) == 0
    assert run_command(clean, ["in", "clean-ray", "--ray", "local"]) == 0
    assert contents("clean-ray")["clean.csv"] == contents("clean-here")["clean.csv"]
    with open("clean-ray/clean.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        kinds = {row["file"]: row["kind"] for row in csv.DictReader(file)}
    assert {"smaller.png": "duplicate", "broken.png": "unreadable"}.items() <= kinds.items()


def begin_refusing():
    raise UserError("no work here")


def test_what_a_process_refuses_is_one_sentence(processes, capfd):
    with pytest.raises(UserError, match="^no work here$"):
        list(on_ray("local", {"a": None, "b": None}, begin_refusing))
    assert "Traceback" not in capfd.readouterr().err


def test_photos_in_a_bucket_are_colored_and_judged(processes, album, monkeypatch, capsys):
    monkeypatch.setattr(features, "load_imagenet", load_imagenet)
    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    for bucket in ("in", "out"):
        files.mkdir(f"{bucket}-bucket")
    os.remove(os.fsdecode(b"in/\xff.png"))  # no key of S3
    files.put("in/", "in-bucket/scans/", recursive=True)
    assert call("in", "-o", "expected") == 1
    assert call("s3://in-bucket/scans", "-o", "s3://out-bucket", "--ray", "local") == 1
    files.get("out-bucket/", "got/", recursive=True)
    assert contents("got") == contents("expected")
    options = ["--frechet", "resnet18", "--limit", "6"]
    assert run_command(evaluate, ["--data", "in", *options, "--out", "here"]) == 0
    assert run_command(evaluate, ["--data", "s3://in-bucket/scans", *options, "--out", "ray", "--ray", "local"]) == 0
    assert contents("ray")["contact_sheet.png"] == contents("here")["contact_sheet.png"]


def known(figures):
    return {name: value for name, value in figures.items() if value is not None and name != "seconds"}


def test_photos_are_judged_as_without_ray(processes, album, monkeypatch, capsys):
    monkeypatch.setattr(features, "load_imagenet", load_imagenet)  # as in Ray's processes
    options = ["--data", "in", "--hints", "0,1", "--frechet", "resnet18"]
    assert run_command(evaluate, [*options, "--out", "here"]) == 0
    assert run_command(evaluate, [*options, "--out", "ray", "--ray", "local"]) == 0
    here, there = (json.loads(Path(out, "evaluation.json").read_text()) for out in ("here", "ray"))
    assert there["settings"] == here["settings"]
    assert there["photos"] == here["photos"] == 14
    for name, figures in here["systems"].items():
        assert figures["frechet_resnet18"] is not None
        assert known(there["systems"][name]) == pytest.approx(known(figures), rel=1e-4, abs=1e-4)
    for name in ("contact_sheet.png", "unreadable.csv"):
        assert contents("ray")[name] == contents("here")[name]
