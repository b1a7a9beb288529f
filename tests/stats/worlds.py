"""Worlds to try a method in: sessions made up from a known ratio, so that an interval can be held to it.

All logarithms are natural; 0.03 of one is 3 %. Two arms run in blocks whose order is drawn for each pair of
blocks and mirrored within the pair, as campaigns do. No number here was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SESSION = 0.03  # from session to session, in most worlds
WITHIN = 0.02  # from sample to sample


def normal(rng, shape, scale):
    return scale * rng.standard_normal(shape)


def settled(rng, shape):
    """Sessions that differ by 3 %."""
    return normal(rng, shape, SESSION)


def plain(rng, shape):
    """Samples that differ by 2 %."""
    return normal(rng, shape, WITHIN)


def still(rng, time):
    """A machine that stays as it is."""
    return np.zeros_like(time)


@dataclass(frozen=True)
class World:
    """What is random in it, all in logarithms.

    session: (rng, [trials, blocks, 2]) -> what each browser start differs by; arms lie on the last axis.
    within: (rng, [trials, blocks, 2, samples]) -> what each sample differs by.
    machine: (rng, time in [0, 1) [trials, blocks, 2]) -> what the machine does meanwhile.
    samples: a session's samples; arms: how many arms share a block; tick: clock step as a part of a reading.
    """

    session: Callable = settled
    within: Callable = plain
    machine: Callable = still
    samples: int = 20
    arms: int = 2
    tick: float = 0.0


@dataclass(frozen=True)
class Sessions:
    """Medians [trials, blocks] of both arms, and how much later OTHER ran, in sessions."""

    base: np.ndarray
    other: np.ndarray
    order: np.ndarray


def places(rng, trials, blocks, arms):
    """Position in the campaign of the two arms among `arms`: [trials, blocks, 2]."""
    pairs = (blocks + 1) // 2
    drawn = np.argsort(rng.random((trials, pairs, arms)), axis=-1)[..., :2]
    within = np.stack([drawn, arms - 1 - drawn], axis=2).reshape(trials, 2 * pairs, 2)[:, :blocks]
    return within + arms * np.arange(blocks)[:, None]


def sessions(world, rng, trials, blocks, ratio=1.0):
    """Campaigns of two arms whose true ratio is `ratio`."""
    shape = (trials, blocks, 2)
    place = places(rng, trials, blocks, world.arms)
    level = world.session(rng, shape) + world.machine(rng, place / (blocks * world.arms))
    level += np.array([0.0, np.log(ratio)])
    samples = np.exp(level[..., None] + world.within(rng, (*shape, world.samples)))
    if world.tick:  # the clock ticks on while a sample begins anywhere between two ticks
        begins = rng.random(samples.shape)
        samples = np.floor(samples / world.tick + begins) * world.tick
    medians = np.median(samples, axis=-1)
    return Sessions(medians[..., 0], medians[..., 1], place[..., 1] - place[..., 0])


def autocorrelated(rng, shape, part=0.9):
    """Each sample follows the one before it."""
    fresh = normal(rng, shape, WITHIN * np.sqrt(1 - part**2))
    fresh[..., 0] = normal(rng, shape[:-1], WITHIN)
    for step in range(1, shape[-1]):
        fresh[..., step] += part * fresh[..., step - 1]
    return fresh


def outliers(rng, shape):
    """3 % of the samples take half as long again, 1 % five times as long."""
    kind = rng.random(shape)
    return plain(rng, shape) + np.where(kind < 0.01, np.log(5), np.where(kind < 0.04, np.log(1.5), 0))


def two_modes(rng, shape):
    """Each sample is fast or a tenth slower."""
    return plain(rng, shape) + np.log(1.1) * (rng.random(shape) < 0.4)


def two_states(rng, shape):
    """Each browser start is fast or 8 % slower, as with two memory layouts."""
    return normal(rng, shape, 0.02) + 0.08 * (rng.random(shape) < 0.5)


def jumps(rng, shape):
    """One start in five has another process beside it."""
    return settled(rng, shape) + 0.08 * (rng.random(shape) < 0.2)


def spread_apart(rng, shape):
    """OTHER's sessions vary five times as much as BASE's."""
    return normal(rng, shape, 1.0) * np.array([0.01, 0.05])


def warm_arm(rng, shape):
    """Each session still falls by a tenth while it is measured."""
    return plain(rng, shape) + np.linspace(0.1, 0.0, shape[-1])


def ramp(size):
    """A machine that gets slower by `size` from first session to last."""
    return lambda rng, time: size * time


def heating(size):
    """Heats up within the first tenth of the campaign, then stays there."""
    return lambda rng, time: size * (1 - np.exp(-10 * time))


def random_walk(rng, time):
    """Wanders by 3 % a block, and a third of a block is 20 % slower on a whim."""
    trials, blocks, _ = time.shape
    level = np.cumsum(normal(rng, (trials, blocks), 0.03), axis=1)
    return level[..., None] + ramp(0.05)(rng, time)


def slow_blocks(rng, time):
    """One block in ten runs while the machine does something else: 30 % slower, both arms."""
    return (np.log(1.3) * (rng.random(time.shape[:2]) < 0.1))[..., None] + np.zeros_like(time)


def by_turns(times):
    """Busy and idle, so many times over the campaign; 10 % from one to the other."""
    return lambda rng, time: 0.05 * np.sin(2 * np.pi * (times * time + rng.random((len(time), 1, 1))))


def step(rng, time):
    """Somewhere in the campaign the machine becomes a tenth slower."""
    return 0.1 * (time > rng.random((len(time), 1, 1)))


WORLDS = {
    "calm": World(),
    "lognormal samples": World(within=lambda rng, shape: normal(rng, shape, 0.3)),
    "outliers": World(within=outliers),
    "heavy tail": World(within=lambda rng, shape: WITHIN * np.clip(rng.standard_t(1.5, shape), -50, 200)),
    "skewed samples": World(within=lambda rng, shape: np.log1p(rng.exponential(0.2, shape))),
    "bimodal samples": World(within=two_modes),
    "bimodal sessions": World(session=two_states),
    "session jumps": World(session=jumps),
    "coarse clock": World(tick=0.05),
    "autocorrelated": World(within=autocorrelated),
    "few samples": World(samples=3),
    "heteroscedastic arms": World(session=spread_apart),
    "warming within sessions": World(within=warm_arm),
    "ramp": World(session=lambda rng, shape: normal(rng, shape, 0.005), machine=ramp(0.4)),
    "ramp, eight arms": World(machine=ramp(0.4), arms=8),
    "heating up": World(machine=heating(0.08)),
    "drift and slow noise": World(machine=random_walk),
    "slow blocks": World(machine=slow_blocks),
    "busy by turns": World(machine=by_turns(1.5)),
    "a step": World(machine=step),
}


def one_sided(rng, shape):
    """Only OTHER has slow sessions, and skewed ones: an exponential tail of a tenth."""
    return normal(rng, shape, 0.01) + rng.exponential(0.1, shape) * np.array([0.0, 1.0])


# Where the interval is known to miss 95 %, and about what it covers there instead.
LIMITS = {
    "wild sessions": (
        World(session=lambda rng, shape: np.clip(0.02 * rng.standard_cauchy(shape), -9, 9)),
        (0.97, 0.99),
    ),
    "rare slow sessions": (
        World(session=lambda rng, shape: normal(rng, shape, 0.01) + 0.15 * (rng.random(shape) < 0.05)),
        (0.965, 0.99),
    ),
    "skew of one arm": (World(session=one_sided), (0.88, 0.93)),
    "heating up a lot": (World(machine=heating(0.15)), (0.95, 0.97)),
    # Three turns in ten blocks, and five: the very period of a pair of mirrored blocks.
    "busy fast by turns": (World(machine=by_turns(3)), (0.92, 0.95)),
    "in step with the blocks": (World(machine=by_turns(5)), (0.87, 0.92)),
    "clock alone": (World(session=lambda rng, shape: normal(rng, shape, 0.001), tick=0.02), (0.90, 0.945)),
}
