"""Run searches, cross-validation and featurization on a dask cluster."""

from typing import Any

__all__ = ["recoverable"]


def recoverable(client: Any) -> Any:
    """Let computations of joblib survive the loss of a worker.

    joblib's dask backend sends large arguments, such as graphs and the indices of a
    fold, to one worker each. If this worker is lost, so are they, and the computation
    ends with an error. Here, they become results of tasks: the scheduler keeps what it
    needs to place them on another worker.

    Parameters
    ----------
    client : distributed.Client
        A client of the cluster. It is changed in place: what its ``scatter`` is asked
        to do by joblib is done by ``submit``.

    Returns
    -------
    distributed.Client
        The same client, for ``joblib.parallel_config("dask", client=client)``.

    Notes
    -----
    An argument that several tasks share is sent once to the scheduler, and from there
    to a worker, from which the others copy it. It stays in the memory of the scheduler
    until the computation ends. Graphs larger than that belong on disk
    (:class:`~sklearn_cgcnn.graphs.ShardedCrystalGraphs`): only the path is sent.

    Examples
    --------
    >>> import joblib
    >>> from distributed import Client  # doctest: +SKIP
    >>> from sklearn_cgcnn.distributed import recoverable
    >>> client = recoverable(Client("tcp://10.0.0.1:8786"))  # doctest: +SKIP
    >>> with joblib.parallel_config("dask", client=client):  # doctest: +SKIP
    ...     search.fit(graphs, y)
    """
    scatter = client.scatter

    async def submit(data: Any) -> Any:
        return client.submit(_itself, data, pure=False)

    def scatter_or_submit(data: Any, *args: Any, **kwargs: Any) -> Any:
        # The automatic scattering of joblib, one argument at a time.
        if kwargs == {"asynchronous": True, "hash": False} and not args:
            return submit(data)
        return scatter(data, *args, **kwargs)

    client.scatter = scatter_or_submit
    return client


def _itself(data: Any) -> Any:
    return data
