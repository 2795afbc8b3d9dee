"""Thresholdout: what it lets through, what it spends, and the published demonstration."""

import math

import numpy as np
import pytest

from thalweg.evaluation.extrapolation.holdout import Thresholdout, bounded, unbounded
from thalweg.storage.errors import InputError

SAMPLES, PICKED, TIMES = 2500, 57, 6


def coins(random, features):
    return (2 * random.integers(0, 2, (SAMPLES, features), dtype=np.int8) - 1).astype(np.float32)


def pick_and_report(seed, *, guarded):
    """Select features that agree on both samples, as in Dwork et al. (2015), figure 1; no feature matters.

    Gives the share of right answers that the hold-out reports, and that on fresh data.
    """
    random, noise = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    features = [coins(random, SAMPLES) for _ in range(3)]
    truth = [coins(random, 1)[:, 0] for _ in range(3)]
    training, held_out = (
        (x.T @ y / SAMPLES).astype(float) for x, y in zip(features[:2], truth[:2], strict=True)
    )
    if guarded:
        guard = Thresholdout.of_samples(1.0, SAMPLES, budget=SAMPLES)
        pairs = zip(training, held_out, strict=True)
        held_out = np.array([guard.ask(*pair, noise).value for pair in pairs])
    least = 1 / math.sqrt(SAMPLES)
    agree = (training * held_out > 0) & (np.minimum(abs(training), abs(held_out)) > least)
    chosen = np.flatnonzero(agree)
    chosen = chosen[np.argsort(-abs(training[chosen]))[:PICKED]]
    vote = np.sign(training[chosen])
    right = [
        float(np.mean((x[:, chosen] @ vote > 0) == (y > 0))) for x, y in zip(features, truth, strict=True)
    ]
    if guarded:
        right[1] = Thresholdout.of_samples(0.5, SAMPLES).ask(right[0], right[1], noise).value
    return right[1:]


def test_the_guarded_hold_out_is_not_fitted_where_the_naive_one_is():
    """On data without signal the truth is 0.5: the naive hold-out says 0.59."""
    naive = np.mean([pick_and_report(seed, guarded=False) for seed in range(TIMES)], axis=0)
    guarded = np.mean([pick_and_report(seed, guarded=True) for seed in range(TIMES)], axis=0)
    assert naive[0] == pytest.approx(0.59, abs=0.01)
    assert abs(guarded[0] - 0.5) < 0.02
    assert naive[1] == pytest.approx(0.5, abs=0.015)
    assert guarded[1] == pytest.approx(0.5, abs=0.015)


def test_while_both_agree_the_open_data_answer_and_nothing_is_spent():
    random = np.random.default_rng(0)
    guard = Thresholdout(threshold=0.04, noise=1e-4, left=3)
    for value in (0.2, 0.5, 0.9):
        answer = guard.ask(value, value + 0.01, random)
        assert (answer.value, answer.held_out) == (value, False)
    assert guard.left == 3


def test_where_they_differ_the_hold_out_answers_with_noise_until_it_is_spent():
    random = np.random.default_rng(0)
    guard = Thresholdout(threshold=0.04, noise=0.005, left=200)
    answers = [guard.ask(0.9, 0.6, random) for _ in range(200)]
    assert all(answer.held_out for answer in answers)
    errors = np.array([answer.value for answer in answers]) - 0.6
    assert errors.std() == pytest.approx(0.005, rel=0.15)
    assert abs(errors.mean()) < 0.0015
    with pytest.raises(InputError, match=r"given all its answers: .* test on new data"):
        guard.ask(0.9, 0.9, random)


def test_going_on_from_what_was_kept_gives_the_same_answers():
    one, two = np.random.default_rng(7), np.random.default_rng(7)
    straight, broken = Thresholdout(0.04, 0.02), Thresholdout(0.04, 0.02)
    for number in range(30):
        pair = (0.5, 0.5 + 0.004 * number)
        broken = Thresholdout(**vars(broken))
        assert straight.ask(*pair, one) == broken.ask(*pair, two)
    assert vars(straight) == vars(broken)


def test_the_paper_s_setting_follows_from_its_sample():
    guard = Thresholdout.of_samples(1.0, 10_000)
    assert (guard.threshold, guard.noise) == (0.04, 0.01)


@pytest.mark.parametrize(("threshold", "noise", "left"), [(0, 1, 1), (1, 0, 1), (1, 1, -1), (math.nan, 1, 1)])
def test_what_guards_nothing_is_refused(threshold, noise, left):
    with pytest.raises(InputError, match=r"threshold .* and noise .* must be above 0"):
        Thresholdout(threshold, noise, left)


def test_no_samples():
    with pytest.raises(InputError, match="threshold nan"):
        Thresholdout.of_samples(1.0, 0)


def test_bounded_scores():
    np.testing.assert_allclose(bounded([1.0, 0.0, -1e12, np.nan]), [1.0, 0.5, 0.0, np.nan], atol=1e-9)
    assert unbounded(float(bounded(0.7))) == pytest.approx(0.7)
    assert unbounded(0.0) == -math.inf
