"""Normalization of rows that count, against torch's of rows written out."""

import pytest
import torch
from torch import nn

from sklearn_cgcnn.nn import BatchNorm

COUNTS = [
    [1, 1, 1, 1, 1, 1, 1],
    [3, 1, 2, 5, 1, 1, 9],
    [4, 4, 4, 4, 4, 4, 4],
    [1000, 1, 1, 1, 1, 1, 1],
]


def pair(seed=0):
    """Our norm and torch's, with equal parameters and statistics."""
    torch.manual_seed(seed)
    theirs = nn.BatchNorm1d(5).double()
    for values in theirs.parameters():
        nn.init.uniform_(values, 0.5, 2)
    theirs.running_mean.uniform_(-1, 1)
    theirs.running_var.uniform_(0.5, 2)
    ours = BatchNorm(5).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("counts", COUNTS)
def test_it_is_that_of_rows_written_out(counts):
    ours, theirs = pair()
    rows = torch.randn(7, 5).double().requires_grad_()
    counts = torch.tensor(counts)
    written_out = rows.repeat_interleave(counts, dim=0)
    expected = theirs(written_out)
    found = ours(rows, counts.double())
    torch.testing.assert_close(found.repeat_interleave(counts, dim=0), expected)

    # A loss over all rows written out, whatever it is.
    slope = torch.randn(len(rows), 5).double()
    (wanted,) = torch.autograd.grad(
        (expected * slope.repeat_interleave(counts, dim=0)).sum(),
        rows,
        retain_graph=True,
    )
    (given,) = torch.autograd.grad(
        (found * slope * counts[:, None]).sum(), rows, retain_graph=True
    )
    torch.testing.assert_close(given, wanted)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())

    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(rows, counts.double()), theirs(rows))


def test_gradients_are_those_of_finite_differences():
    ours, _ = pair()
    rows = torch.randn(6, 5).double().requires_grad_()
    counts = torch.tensor([1, 2, 3, 1, 5, 1]).double()

    def normalize(rows, weight, bias):
        return torch.func.functional_call(
            ours, {"weight": weight, "bias": bias}, (rows, counts)
        )

    assert torch.autograd.gradcheck(normalize, (rows, ours.weight, ours.bias))


@pytest.mark.parametrize("n_rows", [0, 1])
def test_rows_without_spread_are_normalized_by_running_statistics(n_rows):
    ours, theirs = pair()
    before = ours.state_dict()["running_mean"].clone()
    rows = torch.randn(n_rows, 5).double()
    found = ours(rows, torch.ones(n_rows).double())
    torch.testing.assert_close(found, theirs.eval()(rows))
    assert torch.equal(ours.running_mean, before)


def test_one_row_that_counts_twice_has_a_spread_of_zero():
    ours, theirs = pair()
    row = torch.randn(1, 5).double()
    expected = theirs(torch.cat([row, row]))[:1]
    torch.testing.assert_close(ours(row, torch.tensor([2.0]).double()), expected)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_a_new_norm_is_torchs_new_norm():
    torch.testing.assert_close(
        BatchNorm(4).state_dict(), nn.BatchNorm1d(4).state_dict()
    )


def test_a_momentum_of_its_own_remains():
    norm = BatchNorm(1)
    norm.momentum = 0.01
    with norm.recomputing_statistics():
        assert norm.momentum is None
    assert norm.momentum == 0.01
