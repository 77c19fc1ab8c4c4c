"""The choice of the back end that sums over the edges of a batch."""

from dataclasses import replace

import torch

from sklearn_cgcnn._ops._edge_list import EdgeList, sorted_by_center
from sklearn_cgcnn._ops._inductor_backend import InductorEdgeSums
from sklearn_cgcnn._ops._interface import EdgeSums
from sklearn_cgcnn._ops._threads import n_loop_threads
from sklearn_cgcnn._ops._torch_backend import TorchEdgeSums
from sklearn_cgcnn._ops._torch_blocks import block_size


def edge_sums(edges: EdgeList) -> EdgeSums:
    """Choose a back end for sums over the edges of a batch.

    =================  =======================  =======================================
    device             without compiled loops   with compiled loops
    =================  =======================  =======================================
    CPU                torch, block by block    Numba for float32, otherwise torch
    any other          torch, all at once       Inductor
    =================  =======================  =======================================

    On a CPU the edges are first sorted by their centers, if they are not. On any other
    device no value is read, because reading would wait for the device.

    Parameters
    ----------
    edges : EdgeList
        No gradient flows to their features.

    Returns
    -------
    EdgeSums
        Its ``edges`` have the order that the back end uses.

    Notes
    -----
    Loops are compiled within :func:`~sklearn_cgcnn._ops._threads.compiled_loops`. The
    blocks of torch are larger if gradients are disabled when this function is called.
    """
    on_cpu, n_threads = edges.edge_index.is_cpu, n_loop_threads.get()
    edges = _without_gradient(edges)
    if n_threads is not None and not on_cpu:
        return InductorEdgeSums(edges)
    if n_threads is not None and edges.values.dtype == torch.float32:
        # The import of Numba takes a while, and short trainings do without.
        from sklearn_cgcnn._ops._numba_backend import NumbaEdgeSums

        return NumbaEdgeSums(edges, n_threads)
    if on_cpu:
        size = block_size(torch.is_grad_enabled())
        return TorchEdgeSums(sorted_by_center(edges), size)
    return TorchEdgeSums(edges, None)


def _without_gradient(edges: EdgeList) -> EdgeList:
    """Detach the features, and convert the weights to their dtype."""
    values = edges.values.detach()
    return replace(edges, values=values, weights=edges.weights.to(values.dtype))
