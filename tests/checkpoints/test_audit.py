"""A dictionary must be complete and consistent to be accepted as a checkpoint."""

import numpy as np
import pytest
import torch

from sklearn_cgcnn.checkpoints import load_original_checkpoint
from sklearn_cgcnn.exceptions import CheckpointFormatError

BIAS = "state_dict__fc_out.bias"
# What is changed, and a pattern of the error message.
INVALID = {
    "no weights": ({"state_dict": None}, "lacks the dictionary 'state_dict'"),
    "weights in a list": (
        {"state_dict": [1]},
        "entry 'state_dict' must be a dictionary, got a list",
    ),
    "no normalizer": ({"normalizer": None}, "lacks the dictionary 'normalizer'"),
    "no task": (
        {"args__task": None},
        r"'task'\] must be 'regression' or 'classification', got None",
    ),
    "another task": ({"args__task": "ranking"}, r"'task'\] must be .*got 'ranking'"),
    "no depth": ({"args__n_conv": None}, r"'n_conv'\] must be .*from 1.*got None"),
    "negative depth": ({"args__n_conv": -1}, r"'n_conv'\] must be .*from 1.*got -1"),
    "another depth": ({"args__n_conv": 3}, r"lacks 'convs.2.bn1.bias' \(10 of 36"),
    "less depth": ({"args__n_conv": 1}, r"has 'convs\.1\S*', which is not part of"),
    "another width": (
        {"args__h_fea_len": 9},
        r"shape \(8, 16\), but .* args describe requires \(9, 16\)",
    ),
    "no bias": ({BIAS: None}, r"lacks 'fc_out.bias' \(1 of"),
    "a number": ({BIAS: 3.0}, r"'fc_out.bias'\] must be a tensor, got a float"),
    "integers": (
        {BIAS: torch.ones(1, dtype=torch.int64)},
        r"'fc_out.bias'\] must have a float dtype, got torch.int64",
    ),
    "not finite": (
        {BIAS: torch.tensor([np.nan])},
        r"'fc_out.bias'\] has values that are not finite",
    ),
    "negative variance": (
        {"state_dict__convs.0.bn2.running_var": -torch.ones(16)},
        r"'convs.0.bn2.running_var'\] has a negative variance",
    ),
    "no embedding": (
        {"state_dict__embedding.weight": torch.ones(3)},
        r"'embedding.weight'\] must be a 2-D tensor",
    ),
    "no mean": ({"normalizer__mean": None}, r"'mean'\] must be one finite.*got None"),
    "several means": (
        {"normalizer__mean": torch.ones(2)},
        r"'mean'\] must be one finite number.*got tensor\(\[1., 1.\]\)",
    ),
    "no deviation": (
        {"normalizer__std": torch.tensor(0.0)},
        r"'std'\] must be positive, got 0.0",
    ),
    "infinite mean": (
        {"normalizer__mean": np.inf},
        r"'mean'\] must be one finite number below 1e30, got inf",
    ),
    "strange epoch": ({"epoch": -1}, "epoch must be an integer from 0 .*got -1"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_entries_are_named(save, make_checkpoint, atom_init, name):
    changes, message = INVALID[name]
    path = save(make_checkpoint(**changes))
    with pytest.raises(CheckpointFormatError, match=message) as caught:
        load_original_checkpoint(path, atom_init)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "make_foreign",
    [
        lambda checkpoint: checkpoint["state_dict"],
        lambda checkpoint: {"state_dict": {"layer": torch.ones(2)}, "epoch": 3},
    ],
    ids=["a state dict", "of another program"],
)
def test_other_dictionaries_are_refused(save, make_checkpoint, atom_init, make_foreign):
    path = save(make_foreign(make_checkpoint()))
    with pytest.raises(
        CheckpointFormatError, match="lacks the dictionary 'args'"
    ) as caught:
        load_original_checkpoint(path, atom_init)
    assert str(path) in str(caught.value)


UNUSUAL = {
    "a huge mean": {"normalizer__mean": 10**400},
    "a sparse mean": {"normalizer__mean": torch.tensor([1.0]).to_sparse()},
    "a true deviation": {"normalizer__std": True},
    "a true epoch": {"epoch": True},
    "a tensor as epoch": {"epoch": torch.ones(2)},
    "a sparse bias": {BIAS: torch.ones(1).to_sparse()},
    "a bias without data": {BIAS: torch.ones(1, device="meta")},
    "a bias of 8 bits": {BIAS: torch.ones(1).to(torch.float8_e5m2)},
    "an expanded weight": {
        "state_dict__fc_out.weight": torch.zeros(1).expand(1, 8),
    },
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_values_are_refused(save, make_checkpoint, atom_init, name, zipped):
    try:
        path = save(make_checkpoint(**UNUSUAL[name]), zipped)
    except (NotImplementedError, RuntimeError):
        pytest.skip("torch cannot save this value in this format")
    with pytest.raises(CheckpointFormatError):
        load_original_checkpoint(path, atom_init)


def test_tensors_may_have_other_dtypes_and_strides(
    save, make_checkpoint, atom_init, loaded, crystals
):
    """Double precision, a parameter, a transposed tensor: the numbers are the same."""
    checkpoint = make_checkpoint()
    state = checkpoint["state_dict"]
    state["embedding.bias"] = state["embedding.bias"].double()
    state["fc_out.weight"] = torch.nn.Parameter(state["fc_out.weight"])
    state["conv_to_fc.weight"] = state["conv_to_fc.weight"].T.contiguous().T
    model = load_original_checkpoint(save(checkpoint), atom_init)
    np.testing.assert_array_equal(model.predict(crystals), loaded.predict(crystals))
