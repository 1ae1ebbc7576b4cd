"""Beginning with the weights of another network."""

from __future__ import annotations

from typing import Any

import numpy as np
from flax import traverse_util

from crnn_jax.alphabet import Alphabet
from crnn_jax.loading import stored
from crnn_jax.training.log import logger
from crnn_jax.training.state import TrainState

_CLASSIFIER = "classifier"


def begin_with(state: TrainState, source: str, alphabet: Alphabet) -> TrainState:
    """A fresh state with all that another network has in the same place and shape; of the classifier, the shared characters.

    Args:
        state: fresh.
        source: as of `crnn_jax.load`.
        alphabet: of the state's network.

    Raises:
        UserError: the source can't be read.
    """
    variables, description = stored(source)
    known = Alphabet(description["alphabet"])
    taken: dict[str, Any] = {}
    fresh = []
    for part in ("params", "batch_stats"):
        ours = traverse_util.flatten_dict(getattr(state, part), sep="/")
        theirs = traverse_util.flatten_dict(variables[part], sep="/")
        for name, array in ours.items():
            there = theirs.get(name)
            if there is not None and name.startswith(_CLASSIFIER) and there.shape[:-1] == array.shape[:-1]:
                ours[name] = _shared_characters(np.asarray(array), np.asarray(there), alphabet, known)
            elif there is not None and there.shape == array.shape:
                ours[name] = np.asarray(there)
            else:
                fresh.append(name)
        taken[part] = traverse_util.unflatten_dict(ours, sep="/")
    shared = sum(character in known.characters for character in alphabet.characters)
    logger.info(
        "begun with the weights of %s: %d of %d characters are known to it; fresh: %s",
        source,
        shared,
        len(alphabet.characters),
        ", ".join(fresh) or "nothing else",
    )
    return state.with_weights(taken)


def _shared_characters(ours: np.ndarray, theirs: np.ndarray, alphabet: Alphabet, other: Alphabet) -> np.ndarray:
    """The columns of a classifier, (..., K + 1), for the characters that both know, and for the blank."""
    result = np.array(ours)
    result[..., alphabet.blank] = theirs[..., other.blank]
    for i, character in enumerate(alphabet.characters):
        if (place := other.characters.find(character)) >= 0:
            result[..., i] = theirs[..., place]
    return result
