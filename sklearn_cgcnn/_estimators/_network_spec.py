"""What a network is made of: its parts by name, table or class, and its widths."""

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_cgcnn._estimators._equality import is_equal
from sklearn_cgcnn._ops import autocast
from sklearn_cgcnn._training import PackedDataset
from sklearn_cgcnn.graphs import (
    PROPERTIES,
    AnyGraphs,
    element_table,
    in_memory,
    scaled_properties,
)
from sklearn_cgcnn.nn import (
    ACTIVATIONS,
    CGCNN,
    CONVS,
    EDGE_BASES,
    NORMS,
    POOLINGS,
    READOUTS,
    Conv,
    EdgeBasis,
    LearnedSiteFeatures,
    LinearBaseline,
    NoEdgeFeatures,
    Pooling,
    Readout,
    SiteFeatures,
)

Part = TypeVar("Part", bound=nn.Module)

# Fields that may hold the user's own class, function or module.
_PARTS = (
    "conv",
    "pooling",
    "readout",
    "site_features",
    "edge_basis",
    "norm",
    "activation",
)
# torch draws initial weights from a generator that the whole process shares. One thread
# at a time may seed it.
_GLOBAL_GENERATOR = threading.Lock()


@dataclass(frozen=True, eq=False)
class NetworkSpec:
    """What a network is made of, apart from its weights.

    The fields are the parameters of the estimators of the same names, except that
    `site_features` is already a table, unless it is the user's own module or
    "properties+learned".

    Attributes
    ----------
    site_features : ndarray of shape (n_elements, n_features), str or SiteFeatures
    edge_basis : str, EdgeBasis or None
    n_outputs : int
    conv, pooling, readout : str or type
    n_conv_layers, n_site_channels, n_hidden_layers, n_hidden_channels : int
    norm : str, callable or None
    activation : str or callable
    dropout : float
    baseline : "linear" or None
    """

    site_features: NDArray[np.float32] | str | SiteFeatures
    edge_basis: str | EdgeBasis | None
    n_outputs: int
    conv: str | type[Conv]
    pooling: str | type[Pooling]
    readout: str | type[Readout]
    n_conv_layers: int
    n_site_channels: int
    n_hidden_layers: int
    n_hidden_channels: int
    norm: str | Callable[[int], nn.Module] | None
    activation: str | Callable[[Tensor], Tensor]
    dropout: float
    baseline: str | None = None  # a classifier has none

    @classmethod
    def from_params(cls, params: Mapping[str, Any], n_outputs: int) -> Self:
        """Return the spec that the parameters of an estimator describe.

        Parameters
        ----------
        params : mapping of str to object
            Parameters of the estimator. They are copied. If `site_features` is a path,
            the file is read.
        n_outputs : int
            Number of outputs of the network.

        Returns
        -------
        NetworkSpec

        Raises
        ------
        TypeError or ValueError
            If `site_features` is not a valid table.
        """
        names = {each.name for each in fields(cls)} - {"site_features", "n_outputs"}
        names &= set(params)
        values = {name: copy.deepcopy(params[name]) for name in names}
        site_features = params["site_features"]
        if isinstance(site_features, SiteFeatures):
            site_features = copy.deepcopy(site_features)
        elif not _has_learned_vectors(site_features):
            site_features = element_table(site_features)
        return cls(site_features=site_features, n_outputs=n_outputs, **values)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, for storing."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def build(self, seed: int = 0) -> CGCNN:
        """Return the network with random initial weights.

        Parameters
        ----------
        seed : int, default=0
            Seed of the weights.

        Returns
        -------
        CGCNN

        Raises
        ------
        TypeError or ValueError
            If a part is not what the network can use.
        """
        spec = copy.deepcopy(self)
        params: dict[str, Any] = {
            **spec.to_dict(),
            "site_features": _site_features(spec.site_features),
            "conv": _part_class("conv", spec.conv, CONVS, Conv),
            "pooling": _part_class("pooling", spec.pooling, POOLINGS, Pooling),
            "readout": _part_class("readout", spec.readout, READOUTS, Readout),
            "norm": NORMS[spec.norm] if isinstance(spec.norm, str) else spec.norm,
            "baseline": _baseline(spec.baseline, spec.n_outputs),
        }
        with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            # Both may draw weights of their own.
            params["activation"] = _activation(spec.activation)
            params["edge_basis"] = _edge_basis(spec.edge_basis)
            return CGCNN(**params)

    def restore(self, weights: Mapping[str, NDArray[Any]]) -> CGCNN:
        """Return the network with given weights.

        Parameters
        ----------
        weights : mapping of str to ndarray
            All parameters and buffers of the module, by their names.

        Returns
        -------
        CGCNN
            Of the type of the weights.
        """
        module = self.build()
        tensors = {name: torch.tensor(value) for name, value in weights.items()}
        first = next(name for name, _ in module.named_parameters())
        module.to(tensors[first].dtype).load_state_dict(tensors)
        return module

    def known_elements(self) -> NDArray[np.bool_]:
        """Return which elements have features.

        Returns
        -------
        ndarray of shape (n_elements,), bool
            By atomic number.
        """
        features = _site_features(self.site_features)
        known: NDArray[np.bool_] = features.known_elements().cpu().numpy()
        return known

    def check_continues(self, fitted: "NetworkSpec", method: str, remedy: str) -> None:
        """Check that training can continue with the network of an earlier fit.

        Parameters
        ----------
        fitted : NetworkSpec
            Spec of the network that was fitted before.
        method : str
            What continues the training, for the message.
        remedy : str
            How to start from a new network, for the message.

        Raises
        ------
        ValueError
            If any field differs.
        """
        for name, value in self.to_dict().items():
            before = getattr(fitted, name)
            if not is_equal(value, before):
                raise ValueError(
                    f"{method} continues with the network of the last fit, which has "
                    f"{name}={_describe(before)}, but now {name}={_describe(value)}; "
                    f"set it back, or {remedy} to start from a new network"
                )

    def check_own_parts(
        self, module: CGCNN, graphs: AnyGraphs, matmul_precision: str
    ) -> None:
        """Check on two crystals that the user's own parts work.

        Parameters
        ----------
        module : CGCNN
            Network built from this spec.
        graphs : CrystalGraphs or ShardedCrystalGraphs
            The training crystals.
        matmul_precision : {"float32", "tf32", "bfloat16"}
            Precision of matrix products.

        Raises
        ------
        ValueError
            If the network fails, or its output has the wrong shape.
        """
        own = {name: getattr(self, name) for name in _PARTS}
        own = {
            name: part
            for name, part in own.items()
            if not isinstance(part, str | np.ndarray | None)
        }
        if not own:
            return
        rows = torch.arange(min(2, len(graphs)))
        device = next(module.parameters()).device
        few = in_memory(graphs[: len(rows)])
        batch, _ = PackedDataset(few, device=device)[rows]
        parts = ", ".join(f"{name}={part}" for name, part in own.items())
        try:
            # The sum with a baseline would hide a wrong shape.
            network = copy.deepcopy(module)
            network.baseline = None
            with autocast(device, matmul_precision):
                outputs = network(batch)
            outputs.sum().backward()
        except Exception as error:
            raise ValueError(
                f"the network does not work with {parts}: {type(error).__name__}: "
                f"{error}; compare these parts with the classes of sklearn_cgcnn.nn"
            ) from error
        expected = (len(rows), self.n_outputs)
        if tuple(outputs.shape) != expected:
            raise ValueError(
                f"the network with {parts} returns outputs of shape "
                f"{tuple(outputs.shape)} for {len(rows)} crystals; expected {expected}"
            )


def _part_class(
    name: str,
    part: str | type[Part],
    by_name: Mapping[str, type[Part]],
    base: Any,  # type[Part], which mypy refuses for an abstract class
) -> type[Part]:
    """Return the class of a part, given by name or as the user's own class."""
    if isinstance(part, str):
        return by_name[part]
    if not issubclass(part, base):
        raise TypeError(
            f"{name}={part.__name__} is not a subclass of sklearn_cgcnn.nn."
            f"{base.__name__}; inherit from it, or choose one of {sorted(by_name)}"
        )
    return part


def _has_learned_vectors(site_features: Any) -> bool:
    return isinstance(site_features, str) and site_features == "properties+learned"


def _site_features(
    site_features: NDArray[np.float32] | str | SiteFeatures,
) -> SiteFeatures:
    if isinstance(site_features, SiteFeatures):
        return site_features
    if _has_learned_vectors(site_features):
        return LearnedSiteFeatures(torch.tensor(element_table("properties")))
    return SiteFeatures(torch.tensor(site_features))


def _edge_basis(edge_basis: str | EdgeBasis | None) -> EdgeBasis:
    if edge_basis is None:
        return NoEdgeFeatures()
    return EDGE_BASES[edge_basis]() if isinstance(edge_basis, str) else edge_basis


def _baseline(name: str | None, n_outputs: int) -> LinearBaseline | None:
    if name is None:
        return None
    table = torch.tensor(scaled_properties())
    return LinearBaseline(table, list(PROPERTIES).index("electronegativity"), n_outputs)


def _activation(activation: Any) -> Callable[[Tensor], Tensor]:
    if isinstance(activation, str):
        return ACTIVATIONS[activation]
    function: Callable[[Tensor], Tensor] = (
        activation() if isinstance(activation, type) else activation
    )
    return function


def _describe(part: Any) -> Any:
    """Return a description of a part that is short enough for a message."""
    if isinstance(part, np.ndarray):
        return f"<table of {part.shape[1]} features>"
    return part
