"""Mistakes made on purpose: the same each time that they are made, and only on recordings that are alike."""

import numpy as np
import pytest
from checking.hand_models import MODELS

from tinygrad_mb.checking.catalogue import candidates
from tinygrad_mb.checking.recordings import Recording, nest_of
from tinygrad_mb.pytrees import Nest


def recorded(model):
    rng = np.random.default_rng(1)
    return Recording(model.loss, nest_of(model.values(rng)), Nest(model.batch(rng, 5)))


def made(recording):
    with np.errstate(all="ignore"):
        return [(candidate.claim, candidate.make(recording)) for candidate in candidates(recording)]


@pytest.mark.parametrize("model", MODELS[:12:3], ids=lambda model: model.name)
def test_a_mistake_is_the_same_each_time_it_is_made(model):
    recording = recorded(model)
    first, again = made(recording), made(recording)
    assert len(first) == len(again) > 10
    for (claim, one), (same, other) in zip(first, again, strict=True):
        assert claim == same
        assert (one is None) == (other is None)
        for name in one or {}:
            np.testing.assert_array_equal(one[name], other[name], err_msg=claim)


def test_a_loss_that_runs_differently_on_other_arrays_is_no_other_recording():
    def loss(p, x):
        return np.square(x * p).mean() if len(x) < 6 else np.abs(x * p).mean()

    recording = Recording(loss, nest_of(np.ones(())), Nest((np.arange(5.0),)))
    assert recording.on([np.arange(4.0)]) is not None
    assert recording.on([np.arange(7.0)]) is None
    assert recording.on([None]) is None  # it does not run at all
