"""One model trained by several processes: the same samples, gradients and steps as one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path.append(str(HERE))
import group_member as member  # noqa: E402

from thalweg.models.group import ALONE  # noqa: E402


@pytest.fixture(scope="module")
def alone():
    return {
        "draws": {
            (make.__name__, sparse): member.draws(make, ALONE, sparse=sparse)
            for make in (member.shared, member.streamed)
            for sparse in (False, True)
        }
    }


@pytest.fixture(scope="module", params=[pytest.param(2, marks=pytest.mark.slow), 3])
def group(request, tmp_path_factory):
    """What each process of a group found."""
    folder = tmp_path_factory.mktemp(f"group{request.param}")
    processes = [
        subprocess.Popen(
            [sys.executable, str(HERE / "group_member.py"), str(rank), str(request.param), str(folder)]
        )
        for rank in range(request.param)
    ]
    assert all(process.wait(120) == 0 for process in processes)
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(request.param)]


def close(found, expected, tolerance=1e-6):
    assert found.keys() == expected.keys()
    for key in found:
        torch.testing.assert_close(found[key], expected[key], rtol=tolerance, atol=tolerance)


def same(found, expected):
    return all(torch.equal(found[key], expected[key]) for key in expected)


def test_gradients_are_those_of_one_process(group):
    _, members = group
    for name, loss in members[0]["gradients"]:
        value, samples, expected = member.gradient(name, loss=loss)
        assert samples == member.OPTIONS.batch_sites
        assert any(bool(gradient.abs().max() > 1e-4) for gradient in expected.values())
        for each in members:
            found_value, found_samples, found = each["gradients"][name, loss]
            assert (found_value, found_samples) == (pytest.approx(value, rel=1e-9), samples)
            close({key: found[key] for key in expected}, expected)


@pytest.mark.parametrize("name", member.KINDS)
@pytest.mark.parametrize("parts", [2, 4, 6])
def test_gradients_of_a_batch_in_parts_are_those_of_the_whole(name, parts):
    value, samples, expected = member.gradient(name)
    found_value, found_samples, found = member.gradient(name, accumulate=parts)
    assert (found_value, found_samples) == (pytest.approx(value, rel=1e-9), samples)
    close(found, expected)


def test_parts_of_a_share_add_up_too(group):
    _, members = group
    close(members[0]["accumulated"][2], member.gradient("lstm")[2])


def test_a_mean_of_means_would_be_another_gradient():
    """The test above means something: the parts of the batch have different numbers of observed days."""
    batches = member.make_batches(member.everything(), 60, 60, 6, 5)
    counts = [int(torch.isfinite(part.observed).sum()) for part in batches.draw().split(2)]
    assert counts[0] != counts[1]


def test_every_window_is_drawn_by_one_process_alone(group, alone):
    _, members = group
    for key, batches in alone["draws"].items():
        shares = members[0]["draws"][key]
        for number, batch in enumerate(batches):
            parts = [window for share in shares for window in share[number]]
            assert sorted(parts) == sorted(batch), key
        owned = [{site for batch in share for site, _ in batch} for share in shares]
        assert sum(map(len, owned)) == len(set.union(*owned)) == member.SITES - 1


def test_all_processes_have_the_same_weights_and_one_of_them_tells(group):
    _, members = group
    for each in members[1:]:
        assert each["whole"][0] == members[0]["whole"][0]
        assert same(each["whole"][1], members[0]["whole"][1])
        assert each["whole"][2] == []
    assert members[0]["whole"][2] == [1, 2, 3, 4]


def test_all_begin_with_the_weights_of_the_first(group):
    """Another kind of processor may draw other ones, in their last bits."""
    _, members = group
    expected = member.begun_differently(ALONE)
    for each in members:
        close(each["begun_differently"], expected)
        assert same(each["begun_differently"], members[0]["begun_differently"])


def test_resumed_by_as_many_is_bitwise_the_same(group):
    _, members = group
    losses, weights, _ = members[0]["whole"]
    for each in members:
        found, resumed, _ = each["resumed"]
        assert found == losses
        assert same(resumed, weights)
    assert members[0]["resumed"][2] == [3, 4]


def test_resumed_by_another_number_goes_on_where_it_was(group):
    folder, members = group
    whole = member.trained_without_dropout(ALONE)
    close(members[0]["plain"], whole)
    close(member.trained_without_dropout(ALONE, folder / "plain.pt"), whole)
    losses, _, seen = member.trained(ALONE, folder / "left.pt")
    assert seen == [3, 4]
    assert losses[:2] == members[0]["whole"][0][:2]
    assert len(losses) == 4


def test_who_lost_another_process_says_so(group):
    folder, members = group
    for rank in range(len(members) - 1):
        assert "another worker of this model has gone away" in (folder / f"{rank}.lost").read_text()
