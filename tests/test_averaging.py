from dataclasses import replace

import jax
import numpy as np
import pytest
from sources import Bars

import crnn_jax
from crnn_jax import Recognizer, UserError
from crnn_jax.averaging import average
from crnn_jax.cli import main


@pytest.fixture(scope="module")
def model(trained):
    return crnn_jax.load(trained)


def shifted(model, amount):
    """The network, all its numbers but those of BatchNorm changed."""
    noise = np.random.default_rng(0)
    params = jax.tree.map(lambda x: x + amount * noise.standard_normal(x.shape).astype(np.float32), model.variables["params"])
    variables = {**model.variables, "params": params}
    return Recognizer(model.architecture, model.alphabet, model.preparation, variables, model.grammar, model.description)


def test_the_mean_of_networks_apart_in_opposite_ways_is_the_one_between(model):
    mean = average([shifted(model, 0.1), shifted(model, -0.1)])
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-6), mean.variables, model.variables)
    pictures = [Bars("test", 0)[i].image for i in range(8)]
    assert [reading.text for reading in mean.read(pictures)] == [reading.text for reading in model.read(pictures)]


def test_the_command_writes_a_network_to_read_with(trained, model, tmp_path, capsys):
    out = tmp_path / "mean.safetensors"
    assert main(["average", str(trained), str(trained), "--out", str(out)]) == 0
    mean = crnn_jax.load(out)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6), mean.variables, model.variables
    )
    assert "metrics" not in mean.description  # those of one
    config = model.description["config"]
    assert mean.description["averaged"] == [config, config]
    assert average([mean, model]).description["averaged"] == [[config, config], config]


@pytest.mark.parametrize(
    ("models", "out", "message"),
    [
        (["level2"], "a.safetensors", "takes two networks or more"),
        (["level2", "level2-light"], "a.safetensors", "differ in their architecture have no mean"),
        (["level2", "level2"], "a.npz", "must end in .safetensors"),
    ],
)
def test_what_has_no_mean(tmp_path, capsys, models, out, message):
    assert main(["average", *models, "--out", str(tmp_path / out)]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_pictures(model):
    other = Recognizer(model.architecture, model.alphabet, replace(model.preparation, width=56), model.variables)
    with pytest.raises(UserError, match="preparation"):
        average([model, other])
