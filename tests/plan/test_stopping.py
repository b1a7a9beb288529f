"""Stopping looks at widths only, and only where the statistics allow it."""

import numpy as np
import pytest

from bench.plan.matrix import expand
from bench.plan.stopping import Session, may_stop, precision

ARMS = expand({"bits": [16, 8, 4]}, {"model": "m", "platform": "webgpu", "browser": "chrome"})


def world(blocks, spread, *, effect=1.0, seed=1, arms=ARMS, twin=True):
    """Sessions whose medians vary by `spread`, mirrored block by block; made up, and said so."""
    draw = np.random.default_rng(seed)
    entries = [("arm", arm) for arm in arms] + ([("twin", arms[0])] if twin else [])
    sessions, position = [], 0
    for block in range(blocks):
        for role, arm in entries if block % 2 == 0 else entries[::-1]:
            median = 10 * (effect if arm.bits == 4 else 1) * float(np.exp(draw.normal(0, spread)))
            sessions.append(Session(arm, role, block, position, median))
            position += 1
    return sessions


def test_narrow_is_enough_whatever_the_ratios_say():
    for effect in (1.0, 1.02, 0.5):
        found = precision(world(12, 0.01, effect=effect), 0.03)
        assert found.enough and found.ratios == 3 and found.blocks == 12 and 0 < found.widest < 0.03


def test_wide_is_not_enough_however_clear_the_difference_is():
    found = precision(world(12, 0.2, effect=0.2), 0.03)
    assert not found.enough and found.widest > 0.03


def test_no_stop_before_the_floor():
    assert not precision(world(8, 0.001), 0.03).enough
    assert [block for block in range(14) if may_stop(block)] == [9, 11, 13]


def test_nothing_to_compare_never_stops():
    found = precision(world(12, 0.001, arms=ARMS[:1], twin=False), 0.03)
    assert (found.ratios, found.enough, found.widest) == (0, False, None)
    assert not precision([], 0.03).enough


def test_a_single_arm_stops_on_its_twin():
    assert precision(world(12, 0.005, arms=ARMS[:1]), 0.03).enough


def test_an_arm_that_rarely_ran_holds_it_up_and_one_that_never_ran_does_not():
    whole = world(12, 0.005)
    assert precision([one for one in whole if one.request.bits != 8], 0.03).enough
    rare = [one for one in whole if one.request.bits != 8 or one.block < 3]
    found = precision(rare, 0.03)
    assert not found.enough and found.blocks == 3


def test_models_are_compared_within_themselves():
    other = expand({"bits": [16, 8]}, {"model": "n", "platform": "webgpu", "browser": "chrome"})
    found = precision(world(12, 0.005) + world(12, 0.005, arms=other, twin=False), 0.03)
    assert found.ratios == 3 + 1 and found.enough


@pytest.mark.parametrize("blocks", [10, 12])
def test_a_session_that_was_tried_again_counts_once(blocks):
    sessions = world(blocks, 0.005)
    again = Session(sessions[0].request, sessions[0].role, 0, sessions[0].position, 10.0)
    assert precision([*sessions, again], 0.03).blocks == blocks
