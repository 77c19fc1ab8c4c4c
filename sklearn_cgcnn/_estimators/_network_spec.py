"""From the names and classes that a user gives to the parts of a network."""

import copy
import functools
import threading
import types
from numbers import Number

import numpy as np
import torch

from sklearn_cgcnn._training._packed import PackedDataset
from sklearn_cgcnn.nn import (
    ACTIVATIONS,
    CGCNN,
    CONVS,
    EDGE_BASES,
    NORMS,
    POOLINGS,
    READOUTS,
    Conv,
    NoEdgeFeatures,
    Pooling,
    Readout,
    SiteFeatures,
)

_PARTS = {
    "conv",
    "pooling",
    "readout",
    "site_features",
    "edge_basis",
    "norm",
    "activation",
}
_GLOBAL_GENERATOR = threading.Lock()


def make_module(network_params, seed=0):
    """Build the network, its weights drawn at random.

    Parameters
    ----------
    network_params : dict
        Parameters of CGCNN, with site features as a table of the elements or as an
        instance, edge basis by name, as an instance or None, and the other parts as
        users name them.
    seed : int, default=0
        Determines the weights.

    Returns
    -------
    CGCNN
    """
    params = copy.deepcopy(network_params)
    params["site_features"] = _make_site_features(params["site_features"])
    params["edge_basis"] = _make_edge_basis(params["edge_basis"])
    params["conv"] = _choose_class("conv", params["conv"], CONVS, Conv)
    params["pooling"] = _choose_class("pooling", params["pooling"], POOLINGS, Pooling)
    params["readout"] = _choose_class("readout", params["readout"], READOUTS, Readout)
    if isinstance(params["norm"], str):
        params["norm"] = NORMS[params["norm"]]
    # torch draws first weights from the generator of the whole process: one thread at a
    # time, and left as it was.
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        params["activation"] = _make_activation(params["activation"])
        return CGCNN(**params)


def check_module(module, network_params, graphs, matmul_precision):
    """Check that a network with parts of one's own works, on two crystals.

    Parameters
    ----------
    module : CGCNN
    network_params : dict
        What it was made from.
    graphs : CrystalGraphs
    matmul_precision : str
        What matrix products are rounded to.

    Raises
    ------
    ValueError
        If it fails, or gives outputs of another shape than it should.
    """
    own = {
        name: part
        for name, part in network_params.items()
        if name in _PARTS and not isinstance(part, str | np.ndarray | None)
    }
    if not own:
        return
    rows = torch.arange(min(2, len(graphs)))
    device = next(module.parameters()).device
    batch, _ = PackedDataset(graphs[: len(rows)], device=device)[rows]
    parts = ", ".join(f"{name}={part}" for name, part in own.items())
    rounded = matmul_precision == "bfloat16"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            outputs = copy.deepcopy(module)(**batch.tensors())
        outputs.sum().backward()
    except Exception as error:
        raise ValueError(
            f"the network does not work with {parts}: {type(error).__name__}: {error}; "
            "compare them with the classes of sklearn_cgcnn.nn"
        ) from error
    wanted = (len(rows), network_params["n_outputs"])
    if tuple(outputs.shape) != wanted:
        raise ValueError(
            f"the network with {parts} gives outputs of shape {tuple(outputs.shape)} "
            f"for {len(rows)} crystals, and must give {wanted}"
        )


def _choose_class(name, choice, named, base):
    """Give the class of a part: the one of that name, or one of the user's own."""
    if isinstance(choice, str):
        return named[choice]
    if not issubclass(choice, base):
        raise TypeError(
            f"{name}={choice.__name__} is no subclass of sklearn_cgcnn.nn."
            f"{base.__name__}; inherit from it, or choose one of {sorted(named)}"
        )
    return choice


def _make_site_features(site_features):
    if isinstance(site_features, SiteFeatures):
        return site_features
    return SiteFeatures(torch.tensor(site_features))


def known_elements(site_features):
    """Say of which elements there are features.

    Parameters
    ----------
    site_features : ndarray of shape (n_elements, n_features), or SiteFeatures

    Returns
    -------
    ndarray of shape (n_elements,), bool
    """
    if isinstance(site_features, SiteFeatures):
        return site_features.known_elements().cpu().numpy()
    return np.isfinite(site_features).all(axis=1)


def _make_edge_basis(edge_basis):
    if edge_basis is None:
        return NoEdgeFeatures()
    return EDGE_BASES[edge_basis]() if isinstance(edge_basis, str) else edge_basis


def _make_activation(activation):
    if isinstance(activation, str):
        return ACTIVATIONS[activation]
    return activation() if isinstance(activation, type) else activation


def is_same_part(wanted, found):
    """Tell whether two descriptions of a part of the network agree, by their content.

    Copies of modules, partials and other objects compare as different; these agree if
    they are of one class and what they hold agrees.
    """
    if wanted is found:
        return True
    if isinstance(wanted, np.ndarray) and isinstance(found, np.ndarray):
        return np.array_equal(wanted, found, equal_nan=True)
    if isinstance(wanted, torch.Tensor) and isinstance(found, torch.Tensor):
        return is_same_part(wanted.detach().cpu().numpy(), found.detach().cpu().numpy())
    if isinstance(wanted, Number | str | type | types.FunctionType):
        return wanted == found
    if type(wanted) is not type(found):
        return False
    if isinstance(wanted, dict):
        same_keys = wanted.keys() == found.keys()
        return same_keys and all(is_same_part(wanted[k], found[k]) for k in wanted)
    if isinstance(wanted, list | tuple):
        pairs = zip(wanted, found, strict=False)
        return len(wanted) == len(found) and all(is_same_part(*pair) for pair in pairs)
    if isinstance(wanted, functools.partial):
        return all(
            is_same_part(getattr(wanted, name), getattr(found, name))
            for name in ("func", "args", "keywords")
        )
    if hasattr(wanted, "__dict__"):
        return is_same_part(vars(wanted), vars(found))
    return bool(wanted == found)


def describe_part(part):
    """Write a description of a part short enough for a message."""
    if isinstance(part, np.ndarray):
        return f"<table of {part.shape[1]} features>"
    return part
