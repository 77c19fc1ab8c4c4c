"""Regression of a property of crystals."""

from typing import ClassVar

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils._param_validation import StrOptions

from sklearn_cgcnn._estimators._base import BaseCGCNN
from sklearn_cgcnn._validation import check_regression_target

_LOSSES = {
    "absolute_error": torch.nn.L1Loss,
    "squared_error": torch.nn.MSELoss,
    "huber": torch.nn.HuberLoss,
}


class CGCNNRegressor(RegressorMixin, BaseCGCNN):
    r"""Crystal graph convolutional neural network for a property of crystals.

    .. math::
        v_i^{(t+1)} = g\Big(v_i^{(t)} + \sum_{j,k} \sigma(z^{(t)} W_f^{(t)})
        \odot g(z^{(t)} W_s^{(t)})\Big), \qquad
        z^{(t)} = v_i^{(t)} \oplus v_j^{(t)} \oplus u_{(i,j)_k}

    A crystal becomes a graph of sites and edges. Each site starts from properties of
    its element; each of `n_conv_layers` convolutions (paper, Eq. 5) updates it from its
    neighbours and their distances; the mean over the sites (Eq. S16) goes through
    `n_hidden_layers` hidden layers to the prediction. The target is standardised for
    training and predictions are given in its own unit.

    Parameters
    ----------
    featurizer : CrystalGraphFeaturizer or None, default=None
        Turns structures into graphs. None means one with default settings, or those of
        the graphs given to `fit`.
    n_conv_layers : int, default=3
        Number of convolutions.
    n_site_channels : int, default=64
        Width of the site vectors.
    n_hidden_layers : int, default=1
        Number of hidden layers between pooling and output.
    n_hidden_channels : int, default=128
        Their width.
    edge_basis : {"gaussian", "one-hot"} or EdgeBasis, default="gaussian"
        Features of an edge's length: Gaussians at steps of 0.2 Å from 0 to 8 Å as in
        the authors' program, 10 bins from 0.7 to 5.2 Å as in the paper's Table III, or
        a :class:`sklearn_cgcnn.nn.EdgeBasis` with a range or form of one's own.
    dropout : float, default=0.0
        Probability of dropping a hidden channel during training, after pooling.
    loss : {"absolute_error", "squared_error", "huber"}, default="absolute_error"
        What training minimises, on the standardised target.
    optimizer : {"adamw", "adam", "sgd"}, default="adamw"
        The optimizer; "sgd" has a momentum of 0.9.
    lr : float, default=0.01
        Learning rate, the highest where it follows a schedule.
    lr_schedule : {"one_cycle", "constant"}, default="one_cycle"
        How the learning rate changes with every batch: one rise and fall over the whole
        training, or not at all.
    weight_decay : float, default=0.01
        Weight decay, as the optimizer defines it.
    max_epochs : int, default=100
        Number of passes over the training crystals.
    batch_size : int, default=64
        Largest number of crystals in a batch.
    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the crystals, stop when the loss on
        them has not fallen for `n_iter_no_change` epochs, and return to the epoch where
        it was lowest. False trains on all crystals for `max_epochs`.
    validation_fraction : float, default=0.1
        Fraction of the crystals held out by `early_stopping`.
    n_iter_no_change : int, default=50
        Number of epochs that `early_stopping` waits for a lower loss.
    device : str or torch.device, default="auto"
        Where to train and predict. "auto" takes a CUDA GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, batches, dropout and the held-out crystals. Pass an
        int for the same result on every call, on the same machine and number of
        threads.
    n_jobs : int or None, default=None
        Number of processes that featurize structures, if `featurizer` is None.
    verbose : int, default=0
        Whether to show progress bars.

    Attributes
    ----------
    featurizer_ : CrystalGraphFeaturizer
        What turns structures into graphs at prediction.
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is the torch module.
    n_iter_ : int
        Number of epochs trained.
    loss_curve_ : list of float
        Mean training loss in each epoch.
    validation_scores_ : list of float or None
        Negative loss on the held-out crystals after each epoch; None without
        `early_stopping`.
    target_mean_, target_scale_ : float
        Mean and standard deviation of the training targets.

    See Also
    --------
    CGCNNClassifier : For classes.
    CrystalGraphFeaturizer : Makes the graphs.

    References
    ----------
    T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018).

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> structures, energy = make_ionic_crystals(40, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=20, random_state=0).fit(structures, energy)
    >>> model.predict(structures[:3]).shape
    (3,)
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseCGCNN._parameter_constraints,
        "loss": [StrOptions(set(_LOSSES))],
    }

    def __init__(
        self,
        *,
        featurizer=None,
        n_conv_layers=3,
        n_site_channels=64,
        n_hidden_layers=1,
        n_hidden_channels=128,
        edge_basis="gaussian",
        dropout=0.0,
        loss="absolute_error",
        optimizer="adamw",
        lr=0.01,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        max_epochs=100,
        batch_size=64,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=50,
        device="auto",
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        super().__init__(
            featurizer=featurizer,
            n_conv_layers=n_conv_layers,
            n_site_channels=n_site_channels,
            n_hidden_layers=n_hidden_layers,
            n_hidden_channels=n_hidden_channels,
            edge_basis=edge_basis,
            dropout=dropout,
            optimizer=optimizer,
            lr=lr,
            lr_schedule=lr_schedule,
            weight_decay=weight_decay,
            max_epochs=max_epochs,
            batch_size=batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            device=device,
            random_state=random_state,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.loss = loss

    def predict(self, X):
        """Predict the property.

        Parameters
        ----------
        X : sequence of Structure, or CrystalGraphs
            The crystals.

        Returns
        -------
        ndarray of shape (n_crystals,), float64
            In the unit of the targets given to `fit`.

        Raises
        ------
        StructureError
            If a structure cannot become a graph.
        GraphSettingsError
            If X holds graphs made with other settings than those used in `fit`.
        """
        outputs = self._predict_outputs(X)[:, 0].astype(np.float64)
        return self.target_mean_ + self.target_scale_ * outputs

    def _encode_target(self, y, n_crystals):
        values = check_regression_target(y, n_crystals)
        self.target_mean_ = float(values.mean())
        self.target_scale_ = float(values.std())
        # A target that never varies has no scale; it is predicted as its mean.
        standardised = (values - self.target_mean_) / (self.target_scale_ or 1.0)
        # A column, as the network gives one: L1Loss would broadcast (n, 1) against
        # (n,).
        return torch.tensor(standardised[:, None], dtype=torch.float32)

    def _criterion(self):
        return _LOSSES[self.loss]

    def _n_outputs(self):
        return 1
