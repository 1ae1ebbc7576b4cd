"""One network from several: the mean of their weights (Wortsman et al., "Model soups", ICML 2022).

It reads as fast as one. What was trained further from the same network in different ways can often be averaged so, and then
reads better than each; networks that began apart can't.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from crnn_jax.errors import UserError
from crnn_jax.recognizer import Recognizer

_ALIKE = ("architecture", "alphabet", "preparation")


def average(networks: Sequence[Recognizer]) -> Recognizer:
    """A network whose variables are the means of those of several, BatchNorm's statistics among them.

    Args:
        networks: two or more, alike in all but their weights.

    Returns:
        The mean, with the description of the first, but for the figures of its validation; ``averaged`` in it holds the
        settings that each was trained with, a list of these where it was a mean itself.

    Raises:
        UserError: there are fewer than two, or they are not alike.
    """
    if len(networks) < 2:
        raise UserError("a mean takes two networks or more")
    first, *others = networks
    for other in others:
        if apart := [what for what in _ALIKE if getattr(other, what) != getattr(first, what)]:
            raise UserError(f"networks that differ in their {' and '.join(apart)} have no mean")
    variables = jax.tree.map(lambda *arrays: np.mean(arrays, axis=0), *(network.variables for network in networks))
    description = {key: value for key, value in first.description.items() if key != "metrics"}
    told = (network.description for network in networks)
    description["averaged"] = [each.get("averaged", each.get("config", {})) for each in told]
    return Recognizer(first.architecture, first.alphabet, first.preparation, variables, first.grammar, description)
