"""Which runs may go on in a directory, without any that trains."""

import pytest
from sources import bars_task

from crnn_jax import Config, UserError
from crnn_jax.training.log import write_json
from crnn_jax.training.rundir import RunDirectory, describe_run


def wanted(**data):
    return describe_run(bars_task(data=data), Config())


@pytest.fixture
def saved(tmp_path):
    """The directory of a run with a checkpoint, begun when there was little to say of its data."""
    (tmp_path / "checkpoints" / "8").mkdir(parents=True)
    directory = RunDirectory(tmp_path)
    write_json(directory.config, wanted(emphasis=0.25))
    return directory


def test_a_share_that_came_later_and_is_none_is_no_difference(saved):
    saved.check(wanted(emphasis=0.25, variety=0.0, recombined=None), resume=True)


@pytest.mark.parametrize(
    "data", [{"variety": 0.4}, {"folder": "/pictures", "digest": "1"}, {"recombined": [9, 1]}, {"emphasis": 0.0}]
)
def test_what_makes_other_pictures_is_a_difference(saved, data):
    with pytest.raises(UserError, match=rf"holds another run \(data\.{min(data)} is "):
        saved.check(wanted(**{"emphasis": 0.25, **data}), resume=True)


def test_pictures_may_lie_elsewhere_when_a_run_goes_on(saved, tmp_path):
    write_json(saved.config, wanted(folder="/here", digest="1"))
    saved.check(wanted(folder="/there", digest="1"), resume=True)
    with pytest.raises(UserError, match=r"data\.digest"):
        saved.check(wanted(folder="/there", digest="2"), resume=True)


def test_a_chooser_s_weights_were_not_always_written_down(saved):
    config = Config(candidates=2, chooser="other")
    now = describe_run(bars_task(data={}), config, "0123")
    write_json(saved.config, {key: value for key, value in now.items() if key != "chooser_weights"})
    saved.check(now, resume=True)
    write_json(saved.config, now)
    with pytest.raises(UserError, match="chooser_weights is '0123', not '4567'"):
        saved.check({**now, "chooser_weights": "4567"}, resume=True)
