"""The optimizer Muon, against singular values, and against that of torch."""

import copy

import pytest
import torch

from sklearn_cgcnn._ops._threads import compiled_loops
from sklearn_cgcnn._training._muon import Muon, orthogonalize


@pytest.fixture
def rng():
    """A random generator of torch."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def network():
    """A network with matrices, vectors, and an output that is nearly a vector."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(24, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)
    )


def train(network, optimizer, n_steps, seed=0):
    """Take some steps towards random targets."""
    rng = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        x, y = torch.randn(16, 24, generator=rng), torch.randn(16, 1, generator=rng)
        optimizer.zero_grad()
        (network(x) - y).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 30, 30)])
def test_singular_values_become_nearly_one_and_directions_stay(rng, shape):
    u, _, vt = torch.linalg.svd(
        torch.randn(shape, generator=rng, dtype=torch.float64), full_matrices=False
    )
    values = torch.logspace(0, -1.5, u.shape[2], dtype=torch.float64)
    (result,) = orthogonalize([u * values @ vt])
    result = u.mT @ result @ vt.mT
    diagonal = result.diagonal(dim1=1, dim2=2)
    assert ((diagonal > 0.6) & (diagonal < 1.3)).all()
    torch.testing.assert_close(result, torch.diag_embed(diagonal))


@pytest.mark.parametrize("n_threads", [None, 1])
def test_stacks_share_steps(rng, n_threads):
    shapes = [(3, 16, 40), (2, 40, 16), (1, 16, 16), (2, 12, 30)]
    stacks = [torch.randn(shape, generator=rng).double() for shape in shapes]
    one_by_one = [
        torch.cat([orthogonalize([each[None]])[0] for each in stack])
        for stack in stacks
    ]
    with compiled_loops(n_threads):
        together = orthogonalize(stacks)
    for result, expected in zip(together, one_by_one, strict=True):
        torch.testing.assert_close(result, expected)


def test_steps_are_those_of_newton_and_schulz(rng):
    matrix = torch.randn(16, 40, generator=rng, dtype=torch.float64)
    (result,) = orthogonalize([matrix[None]])
    x = matrix / matrix.norm()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    torch.testing.assert_close(result[0], x)


def test_zero_rows_stay_zero(rng):
    # They belong to elements that no crystal of the batch has.
    matrices = torch.randn(1, 20, 12, generator=rng)
    matrices[:, 5] = 0
    results = orthogonalize([matrices, torch.zeros(1, 8, 8)])
    assert (results[0][:, 5] == 0).all()
    assert results[1].isfinite().all()


@pytest.mark.parametrize(("n_rows", "n_blocks"), [(24, 1), (100, 1), (64, 1), (128, 2)])
def test_matrices_move_like_those_of_torch(rng, n_rows, n_blocks):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this version of torch has no Muon")
    start = torch.randn(n_rows, 40, generator=rng)
    ours = torch.nn.Parameter(start.clone())
    theirs = [torch.nn.Parameter(each.clone()) for each in start.chunk(n_blocks)]
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimizer = Muon([ours], betas=(0.9, 0.999), **settings)
    reference = torch.optim.Muon(
        theirs, momentum=0.9, adjust_lr_fn="match_rms_adamw", **settings
    )
    for _ in range(5):
        ours.grad = torch.randn(n_rows, 40, generator=rng)
        for block, gradient in zip(theirs, ours.grad.chunk(n_blocks), strict=True):
            block.grad = gradient.clone()
        optimizer.step()
        reference.step()
    moved, expected = ours - start, torch.cat(theirs) - start
    # Theirs computes in bfloat16.
    assert (moved - expected).norm() < 0.03 * expected.norm()


def test_other_parameters_move_as_with_adamw(network):
    other = copy.deepcopy(network)
    train(network, Muon(network.parameters(), lr=0.01), 1)
    train(other, torch.optim.AdamW(other.parameters(), lr=0.01), 1)
    for name in ("0.bias", "2.weight", "2.bias"):
        ours, theirs = (each.get_parameter(name) for each in (network, other))
        assert torch.equal(ours, theirs)
    assert not torch.equal(network[0].weight, other[0].weight)


def test_frozen_parameters_stay_and_gradients_are_kept(network):
    network[0].weight.requires_grad_(False)
    before = network[0].weight.clone()
    optimizer = Muon(network.parameters(), lr=0.01)
    train(network, optimizer, 2)
    assert torch.equal(network[0].weight, before)
    network[0].weight.requires_grad_(True)
    train(network, optimizer, 1)
    assert not torch.equal(network[0].weight, before)
    assert all(each.grad is not None for each in network.parameters())


def test_a_stored_state_continues_alike(network):
    optimizer = Muon(network.parameters(), lr=0.01)
    train(network, optimizer, 3)
    other = copy.deepcopy(network)
    resumed = Muon(other.parameters(), lr=0.01)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(network, optimizer, 3, seed=1)
    train(other, resumed, 3, seed=1)
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_closure_is_called_once(network):
    optimizer, calls = Muon(network.parameters(), lr=0.01), []

    def closure():
        optimizer.zero_grad()
        loss = network(torch.ones(3, 24)).square().mean()
        loss.backward()
        calls.append(loss)
        return loss

    assert optimizer.step(closure) is calls[0]
    assert len(calls) == 1
