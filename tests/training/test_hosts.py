"""Several processes that train together, over gloo on one machine."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from sources import bars_task
from training.test_loop import metrics_of, newest_step, state_of

from crnn_jax import Config, UserError
from crnn_jax.training import hosts
from crnn_jax.training.rundir import describe_run, differences

PROGRAM = Path(__file__).parent.parent / "bars_run.py"


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start(workdir, processes=1, devices=1, **options):
    """One run in several processes, which share nothing but the directory."""
    coordinator = free_address()
    # Without recurrent layers: what passes between processes is the same, and compiled sooner.
    given = [f"--{name}={value}" for name, value in {"save_seconds": 1000, "workers": 0, "rnn": "none", **options}.items()]
    return [
        subprocess.Popen(
            [
                *(sys.executable, str(PROGRAM), str(workdir), f"--coordinator={coordinator}", f"--processes={processes}"),
                *(f"--process={number}", f"--devices={devices}", *given),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]


def end(processes, seconds=300):
    """What they wrote to stderr, and their exit statuses; -9 for one that takes longer than it may."""
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(len(processes)) as readers:  # a full pipe would hold a process up
        written = [readers.submit(process.stderr.read) for process in processes]
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
        for process in processes:
            process.kill()
            process.wait()
        texts = [text.result() for text in written]
    for process in processes:
        process.stderr.close()
    return texts, [process.returncode for process in processes]


def run(workdir, **options):
    written, statuses = end(start(workdir, **options))
    assert statuses == [0] * len(statuses), "\n".join(written)
    return written


def parameters(workdir):
    return jax.tree.leaves(state_of(workdir)[1])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("alone")
    run(workdir, steps=10)
    return workdir


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("together")
    return workdir, run(workdir, processes=2, devices=2, steps=10)


def assert_same(first, second):
    for a, b in zip(parameters(first), parameters(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=2e-5)
    assert_same_course(first, second)


def assert_same_course(first, second):
    for a, b in zip(metrics_of(first), metrics_of(second), strict=True):
        assert a["examples"] == b["examples"] == 10  # which no number of devices here divides
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-3)
        assert a["exact_match"] == b["exact_match"]


def test_two_processes_do_what_one_does(alone, together):
    assert_same(alone, together[0])
    assert "in 2 processes" in together[1][0]
    assert not together[1][1].strip()  # one of them tells


def test_processes_that_were_started_otherwise_are_refused_by_all(tmp_path):
    config = Config(workers=1)
    others = [({}, {}), ({"seed": 1, "workers": 2}, {}), ({}, {"folder": "elsewhere", "digest": "2"})]

    def gather(mine):
        there = (
            (replace(config, **changes), bars_task(data={"folder": "here", "digest": "1", **data})) for changes, data in others
        )
        return [mine, *(describe_run(task, other) for other, task in there)]

    wanted = describe_run(bars_task(data={"folder": "here", "digest": "1"}), config)
    assert differences(wanted, gather) == ["config.seed", "data.digest"]
    assert differences(wanted, lambda mine: [mine, mine]) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("a: is no b"), "a: is no b"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ],
)
def test_what_one_process_raises_is_raised_in_all(monkeypatch, error, said):
    told = []
    monkeypatch.setattr(hosts, "gather", lambda value: told.append(value) or [None, value])
    with pytest.raises(type(error)) as raised, hosts.all_or_none():
        raise error
    assert raised.value is error
    assert told == [said]
    monkeypatch.setattr(hosts, "gather", lambda value: [value, said])
    with pytest.raises(UserError, match=re.escape(said)), hosts.all_or_none():
        pass


@pytest.mark.slow
def test_any_number_of_devices_in_one_process(alone, tmp_path):
    run(tmp_path, devices=4, steps=10)
    assert_same(alone, tmp_path)


@pytest.mark.slow
def test_devices_of_two_processes_draw_what_those_of_one_do(tmp_path):
    options = {"drawing": "device", "epochs": 1, "steps": 5, "rnn": "gru"}
    run(tmp_path / "alone", **options)
    run(tmp_path / "together", processes=2, devices=2, **options)
    # Not the parameters: Adam's first steps are as long as the rate, also where a gradient is next to nothing.
    assert_same_course(tmp_path / "alone", tmp_path / "together")


def wait_for_a_step(process):
    """Until a process has begun to train."""
    for line in process.stderr:
        if "epochs of" in line:
            time.sleep(2)
            return


@pytest.mark.slow
@pytest.mark.parametrize("signalled", [[1], [0, 1]])
def test_a_signal_to_one_or_all_stops_all_and_one_alone_goes_on(alone, tmp_path, signalled):
    processes = start(tmp_path, processes=2, devices=2, steps=10, save_seconds=0.5)
    wait_for_a_step(processes[0])
    for number in signalled:
        processes[number].send_signal(signal.SIGTERM)
    written, statuses = end(processes, 120)
    assert statuses == [130, 130], "\n".join(written)
    assert newest_step(tmp_path) <= 20
    run(tmp_path, steps=10)
    assert_same(alone, tmp_path)


def test_sigterm_before_training_ends_a_process():
    """jax takes the signal when processes come together, and then does nothing about it."""
    program = """
import os, signal, sys, time
from crnn_jax.training import hosts
with hosts.connected(sys.argv[1], 1, 0):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
"""
    coordinator = free_address()
    assert subprocess.run([sys.executable, "-c", program, coordinator], check=False, timeout=60).returncode == -signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(("dies", "said"), [(0, "the leader task"), (1, "error: process 1 (")])
def test_when_one_dies_the_other_ends_and_says_so(tmp_path, dies, said):
    processes = start(tmp_path, processes=2, devices=1, steps=100_000)
    wait_for_a_step(processes[0])
    processes[dies].kill()
    begun = time.monotonic()
    written, statuses = end(processes, 90)
    assert time.monotonic() - begun < 60
    assert statuses[1 - dies] not in (0, 130)
    assert said in written[1 - dies]
