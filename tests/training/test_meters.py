import pytest

from crnn_jax.training import meters
from crnn_jax.training.meters import Clock, EpochSums


def test_the_share_of_waiting_leaves_out_the_step_after_a_pause(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    clock = Clock()
    assert clock.share_waited == 0
    for waited, worked in ((50.0, 50.0), (1.0, 3.0), (2.0, 2.0)):  # the first step compiles
        with clock.waiting():
            now[0] += waited
        now[0] += worked
        clock.lap(32)
    assert clock.share_waited == pytest.approx(3 / 8)
    assert clock.seconds == pytest.approx(8)
    assert clock.rate == pytest.approx(64 / 8)


def test_a_step_adds_its_metrics_to_the_sums():
    metrics = {"loss": 3.0, "examples": 2.0, "infeasible": 1.0, "characters": 8.0, "skipped": 0.0, "gradient_norm": 9.0}
    sums = EpochSums().add(metrics).add(metrics)
    assert sums == EpochSums(2, 6.0, 4.0, 2.0, 16.0, 0.0)
    assert isinstance(sums.steps, int)
    assert sums.mean_loss == 1.5
