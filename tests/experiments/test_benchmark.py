import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from PIL import Image

from crnn_jax import tasks
from experiments.benchmark import draw, floor, growth, locate, parts, readers, serve
from experiments.benchmark.report import Row, in_turns, row


def run(*arguments):
    command = [sys.executable, "-m", "experiments.benchmark", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def test_ratios_above_one_favour_ours():
    assert row("draw", "x", 6.0, 2.0, "images/s") == Row("draw", "x", 6.0, 2.0, 3.0, "images/s")
    assert row("ctc", "x", 2.0, 6.0, "ms", "less").ratio == 3
    assert row("serve", "x", 0, 0, "answers", "less").ratio == 1


def test_both_work_in_turns_and_warm_up_rounds_do_not_count(monkeypatch):
    done, clock = [], iter([0, 100, 100, 200, 200, 203, 203, 208, 208, 212, 212, 217])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert in_turns(lambda: done.append("ours"), lambda: done.append("peer"), 2, warm_up=1) == (3.5, 5)
    assert done == ["ours", "peer"] * 3


def test_locating_is_compared_on_ordinary_and_faint_canvases():
    rows = list(locate.rows(2, seed=0))
    assert {row.suite for row in rows} == {"locate"}
    assert [row.name.split()[0] for row in rows] == ["ordinary"] * 4 + ["faint"] * 4
    for r in rows:
        assert r.unit in ("%", "ms")
        if r.unit == "ms":
            assert abs(r.ratio - r.peer / r.ours) < 1e-6
        else:
            assert 0 <= r.ours <= 100
    assert rows[0].ours == 100  # both canvases' lines


@pytest.mark.slow
def test_drawing_is_compared_with_the_package(monkeypatch):
    monkeypatch.setattr(draw, "_PICTURES", dict.fromkeys(draw._PICTURES, 3))
    monkeypatch.setattr(draw, "_ON_DEVICE", {"captchas": draw._ON_DEVICE["captchas"]})
    monkeypatch.setattr(draw, "_COMPARED", 64)
    rows = {row.name: row for row in draw.rows(1, seed=0)}
    assert list(rows)[:4] == [f"{name}, one core" for name in draw._PICTURES]
    assert all(row.ours > 0 and row.peer > 0 for row in rows.values())
    assert abs(rows["captchas, device and host: mean level"].ratio - 1) < 0.03


@pytest.mark.slow
def test_the_server_is_compared_with_itself_asked_one_after_another(monkeypatch):
    monkeypatch.setattr(serve, "_CLIENTS", (3,))
    rows = {row.name.partition(": ")[2]: row for row in serve.rows(12, seed=0)}
    assert rows[""].unit == "requests/s"
    assert rows[""].ours > 0
    assert rows["an answer, 50th percentile"].ours <= rows["an answer, 99th percentile"].ours
    assert rows["lost or another text"].ours == rows["lost or another text"].peer == 0


@pytest.mark.slow
def test_the_memory_of_the_server_stays_flat():
    """Over 8,000 requests after those that warm it up, one after another and up to more at once than there are places."""
    rows = list(serve.rows(1000, seed=0))
    assert all(r.ours == r.peer == 0 for r in rows if "lost" in r.name)
    assert all(r.ours < r.peer + 10 for r in rows if r.unit == "MB"), [r.ours for r in rows if r.unit == "MB"]


@pytest.mark.slow
def test_the_growth_of_the_cost_is_measured_and_drawn(monkeypatch, tmp_path):
    points = {growth.BATCH: (1, 2), growth.WIDTH: (64,), growth.ALPHABET: (40,), growth.DEVICES: (2,)}
    monkeypatch.setattr(growth, "_CURVES", {name: growth._CURVES[name]._replace(points=xs) for name, xs in points.items()})
    monkeypatch.setattr(growth, "_NETWORK", dataclasses.replace(growth._NETWORK, rnn="none"))
    monkeypatch.setattr(growth, "_IMAGES", 1)
    for name, value in (("COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir), ("DISABLE_MOST_OPTIMIZATIONS", "1")):
        monkeypatch.setenv(f"JAX_{name}", value)  # for the process of the devices
    rows = list(growth.rows(1, seed=0))
    rates = [row.name for row in rows if row.unit == "images/s" and row.ours > 0]
    assert rates == [f"{name} {x}" for name, xs in points.items() for x in xs]
    assert [row.unit for row in rows if row.name.endswith("busy")] == ["cores"]
    growth.plot(rows, tmp_path / "plots" / "growth.png")
    with Image.open(tmp_path / "plots" / "growth.png") as picture:
        assert picture.width > 800


def test_the_floor_counts_the_products_of_loops_and_convolutions():
    def work(x, kernel, images):
        looped, _ = jax.lax.scan(lambda carry, _: (carry @ x, None), x, length=5)
        convolved = jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return looped, convolved

    shapes = (4, 4), (3, 3, 2, 8), (1, 7, 6, 2)
    jaxpr = jax.make_jaxpr(jax.jit(work))(*map(jnp.ones, shapes))
    counted = floor.count_work(jaxpr.jaxpr)
    assert counted.operations == 5 * (2 * 4**3) + 2 * (5 * 4 * 8) * (3 * 3 * 2)
    assert counted.bytes == 4 * (5 * 3 * 16 + 144 + 84 + 160)


def test_readers_are_compared_on_the_same_pictures(monkeypatch):
    given = []
    source = tasks.captcha().source("validation", 0)  # the same pictures each time, which those of the package are not

    def one_and_a_wrong_one(pictures, characters):
        given.extend(pictures)
        return [source[0].text.lower(), *["" for _ in pictures[1:]]]

    monkeypatch.setattr(readers.tasks, "by_name", lambda _: dataclasses.replace(tasks.captcha(), source=lambda *_: source))
    monkeypatch.setattr(readers, "_TASKS", {"captcha": 2})
    monkeypatch.setattr(readers, "_peers", lambda: [("a peer", one_and_a_wrong_one)])
    rows = list(readers.rows(4, seed=0))
    assert len(given) == 2
    names = ("captcha,captcha-light", "captcha-light")
    assert [row.name for row in rows[::2]] == [f"{name}: exact match of 2, a peer" for name in names]
    assert [row.peer for row in rows[::2]] == [0.5, 0.5]  # letters of either case are the same
    assert all(row.ours == 1 for row in rows[::2])
    assert all(row.ours > 0 for row in rows[1::2])


@pytest.mark.slow
def test_reading_is_compared(monkeypatch):
    pytest.importorskip("torch")
    from experiments.benchmark import read

    for name, value in (
        ("_SIZES", {"cpu": (4, 2)}),
        ("_ALONE", 3),
        ("_WARM_UP", 1),
        ("_CHOOSING", 1),
        ("_BACKBONES", ("light",)),
    ):
        monkeypatch.setattr(read, name, value)
    rows = list(read.rows(1, seed=0))
    assert [row.unit for row in rows] == ["images/s", "ms", "ms", "images/s"]
    assert all(row.ours > 0 and row.peer > 0 for row in rows)


@pytest.mark.slow
def test_a_step_is_taken_apart(monkeypatch):
    monkeypatch.setattr(parts, "_CASES", ((growth.WIDTH, 64),))
    rows = list(parts.rows(1, seed=0))
    assert [row.name for row in rows] == [f"{growth.WIDTH} 64: {part}" for part in parts.PARTS]
    assert all(row.ours > 0 for row in rows)


@pytest.mark.parametrize("backbone", ["vgg222", "vgg346", "light"])
def test_the_peer_is_the_same_network(backbone):
    torch = pytest.importorskip("torch")
    import numpy as np

    from crnn_jax.models.config import Architecture
    from crnn_jax.models.crnn import CRNN
    from crnn_jax.training.state import parameter_count
    from experiments.benchmark.pytorch import TorchCRNN

    architecture = Architecture(backbone=backbone)
    ours, images = CRNN(architecture, 11), np.zeros((1, 48, 100, 3), np.uint8)
    variables = ours.init(jax.random.key(0), images, np.array([100]))
    peer = TorchCRNN(architecture, 11, 48).train(False)
    logits, _ = ours.apply(variables, images, np.array([100]))
    assert peer(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).shape == logits.shape
    # PyTorch's GRU has a second bias for each gate, where one is enough but for the candidate's.
    spare = 2 * 2 * 2 * architecture.hidden
    assert sum(p.numel() for p in peer.parameters()) == parameter_count(variables["params"]) + spare


@pytest.mark.slow
def test_what_is_learned_in_the_same_time(monkeypatch):
    pytest.importorskip("torch")
    from experiments import captcha
    from experiments.benchmark import learn

    quick = captcha.RECIPES["quick"]
    config = dataclasses.replace(
        quick.config, steps_per_epoch=2, batch_size=8, validation_examples=8, eval_examples=8, workers=1
    )
    monkeypatch.setitem(captcha.RECIPES, "quick", dataclasses.replace(quick, config=config))
    monkeypatch.setattr(learn, "_PICTURES", 8)
    monkeypatch.setattr(learn, "_BATCH", 4)
    whole, learned = learn.rows(1, seed=0)
    assert 0 <= whole.ours <= 1
    assert 0 <= whole.peer <= 1
    assert learned.ours == 16
    assert learned.peer >= 4
    assert learned.peer % 4 == 0


@pytest.mark.slow
def test_training_is_compared_with_pytorch_with_drawing_and_without(monkeypatch):
    pytest.importorskip("torch")
    from experiments.benchmark import step, train

    monkeypatch.setitem(step._BATCHES, "cpu", dict.fromkeys(step._BATCHES["cpu"], 8))
    monkeypatch.setattr(step, "_NETWORKS", [network for network in step._NETWORKS if network[-1].backbone == "light"])
    rows = list(train.rows(1, seed=0))
    names = [f"{name}, light, batches of 8" for name in ("captcha", "level 1", "level 2")]
    assert [row.name for row in rows] == [*names, *(f"{name}, light, drawing included" for name in ("captcha", "level 2"))]
    assert all(row.ours > 0 and row.peer > 0 for row in rows)


def test_the_dataloader_gives_the_batches_that_ours_learns_from():
    torch = pytest.importorskip("torch")
    import numpy as np

    from crnn_jax.data.examples import BatchMaker
    from experiments import level2
    from experiments.benchmark import pytorch

    task = level2.RECIPES["quick"].task
    maker = BatchMaker(task.source("train", 0), task.preparation, task.alphabet, task.max_length)
    batch = maker(np.arange(3))
    for channels_last in (False, True):
        images, labels, lengths = next(pytorch.load_batches(maker, 3, 0, channels_last))
        assert images.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        np.testing.assert_array_equal(images.permute(0, 2, 3, 1).numpy(), batch["images"])
        np.testing.assert_array_equal(labels.numpy(), batch["labels"])
        np.testing.assert_array_equal(lengths.numpy(), batch["label_lengths"])


def test_ctc_is_compared_with_pytorch(tmp_path):
    pytest.importorskip("torch")
    done = run("--suite=ctc", "--count=1", f"--out={tmp_path / 'rows.json'}")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [r["suite"] for r in rows] == ["ctc"] * 8
    assert [r["unit"] for r in rows] == ["ms"] * 5 + ["MB"] * 3
    assert all(r["ours"] > 0 for r in rows)
    assert set(rows[0]) == {"suite", "name", "ours", "peer", "ratio", "unit"}
    assert "ratio" in done.stdout


def test_what_has_no_picture_is_named(tmp_path):
    done = run("--suite=locate", f"--plots={tmp_path}")
    assert done.returncode == 1
    assert "nothing is drawn of the suite locate" in done.stderr


def test_a_stray_argument_is_named():
    done = run("--suite=locate", "nonsense")
    assert done.returncode == 2
    assert "unrecognized arguments: nonsense" in done.stderr
