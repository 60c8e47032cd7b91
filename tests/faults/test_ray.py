"""Colouring on a Ray cluster of two nodes on this machine: processes and a node that die, and photos that kill."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from test_servers import call, contents

from fastcolor.remote.on_ray import on_ray
from fastcolor.scenes.folder import write_scenes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
ray = pytest.importorskip("ray")
parquet = pytest.importorskip("pyarrow.parquet")
psutil = pytest.importorskip("psutil")
PHOTOS = 60


@pytest.fixture
def cluster():
    """Two nodes of one core each; the command's own processes run on the first one."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
    made.second = made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield made
    made.shutdown()


def actors():
    """The processes that colour."""
    found = (each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"])
    return [each for each in found if "MapWorker" in each.info["cmdline"][0]]


def wait_for(condition, seconds=200):
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
        wait_for(lambda: len(list(out.glob("*.jpg")) + list(out.glob("*.png"))) >= 5)
        killed.append(actors()[0])
        killed[0].send_signal(signal.SIGKILL)
        wait_for(lambda: len(list(out.glob("*.jpg")) + list(out.glob("*.png"))) >= 25)
        cluster.remove_node(cluster.second, allow_graceful=False)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    assert call(tmp_path / "in", "-o", out, "--ray", cluster.address) == 1
    disturber.join()
    told = capsys.readouterr()
    assert killed
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
    done = {each.key: each for each in on_ray("local", dict.fromkeys(keys, str(tmp_path)), begin)}
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
