"""Exceptions of this package.

Each one is also a built-in exception. Code that catches ``ValueError`` or ``OSError``
keeps working, and code that must tell the causes apart can catch these classes instead.
"""

from collections.abc import Mapping

__all__ = [
    "CIFDirectoryError",
    "CheckpointFormatError",
    "DatasetIntegrityError",
    "DatasetUnavailableError",
    "ExtrapolationWarning",
    "FailedCrystalsWarning",
    "GraphFormatError",
    "GraphSettingsError",
    "ModelFileError",
    "StructureError",
    "TrainingDivergedError",
]


class StructureError(ValueError):
    """Structures cannot be converted to crystal graphs.

    Parameters
    ----------
    message : str
        What is wrong with the structures.
    index : int or None, default=None
        Position of the first of them in the sequence that was passed.
    failed : mapping of int to str or None, default=None
        Maps the position of each of them to the reason.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.exceptions import StructureError
    >>> lattice = Lattice.cubic(2.86)
    >>> iron = Structure(lattice, ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> alloy = Structure(lattice, [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    >>> try:
    ...     CrystalGraphFeaturizer().transform([iron, alloy])
    ... except StructureError as error:
    ...     print(error.index, error.failed)
    1 {1: "Fe0.5 Co0.5: site 0 is disordered (Fe:0.5, Co:0.5); choose ..."}
    """

    def __init__(
        self,
        message: str,
        index: int | None = None,
        failed: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.failed = dict(failed or {})


class GraphSettingsError(ValueError):
    """Crystal graphs were made with settings that differ from the expected ones.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor, CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.exceptions import GraphSettingsError
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=1, random_state=0).fit(structures, energy)
    >>> graphs = CrystalGraphFeaturizer(max_neighbors=6).transform(structures)
    >>> try:
    ...     model.predict(graphs)
    ... except GraphSettingsError as error:
    ...     print(error)
    X holds graphs made with max_neighbors=6 instead of 12; make them with the same
    settings, as model.featurizer_.transform(structures) does for a fitted model
    """


class GraphFormatError(ValueError):
    """A file of crystal graphs is damaged, or its format is unknown.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn import CrystalGraphFeaturizer
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.exceptions import GraphFormatError
    >>> from sklearn_cgcnn.graphs import CrystalGraphs
    >>> structures = make_ionic_crystals(2, random_state=0).data
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "graphs")
    ...     CrystalGraphFeaturizer().transform(structures).save(path)
    ...     _ = (path / "distances.npy").write_text("no array")
    ...     try:
    ...         CrystalGraphs.load(path)
    ...     except GraphFormatError as error:
    ...         print("Not loaded:", error)
    Not loaded: ...distances.npy is damaged; save the graphs again
    """


class CIFDirectoryError(ValueError):
    """A folder of CIF files has an invalid table, or files that cannot be read.

    Parameters
    ----------
    message : str
        What is wrong with the folder.
    failed : mapping of str to str or None, default=None
        Maps the id of each crystal whose file cannot be read to the reason.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.datasets import load_cif_directory
    >>> from sklearn_cgcnn.exceptions import CIFDirectoryError
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a-1.cif").write_text("no crystal")
    ...     try:
    ...         load_cif_directory(folder, time_limit=None)
    ...     except CIFDirectoryError as error:
    ...         print(error.failed)
    {'a-1': 'has no data block, which would begin with a line data_<name>'}
    """

    def __init__(self, message: str, failed: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.failed = dict(failed or {})


class CheckpointFormatError(ValueError):
    """A file is damaged, or is not a checkpoint of the original program.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.checkpoints import load_original_checkpoint
    >>> from sklearn_cgcnn.exceptions import CheckpointFormatError
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "model_best.pth.tar")
    ...     _ = path.write_text("no checkpoint")
    ...     try:
    ...         load_original_checkpoint(path, "atom_init.json")
    ...     except CheckpointFormatError as error:
    ...         print("Not loaded:", error)
    Not loaded: ...model_best.pth.tar is damaged, or contains objects other than ...
    """


class ModelFileError(ValueError):
    """A file is damaged, or does not contain a model of this package.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.exceptions import ModelFileError
    >>> from sklearn_cgcnn.model_files import load_model
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "energy.safetensors")
    ...     _ = path.write_text("no model")
    ...     try:
    ...         load_model(path)
    ...     except ModelFileError as error:
    ...         print("Not loaded:", error)
    Not loaded: ...energy.safetensors is not a model file, or is damaged ...
    """


class DatasetUnavailableError(OSError):
    """A dataset is not on this machine, and a download failed or was not allowed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.datasets import fetch_matminer
    >>> from sklearn_cgcnn.exceptions import DatasetUnavailableError
    >>> name = "matbench_phonons"
    >>> with TemporaryDirectory() as folder:
    ...     try:
    ...         fetch_matminer(name, data_home=folder, download_if_missing=False)
    ...     except DatasetUnavailableError as error:
    ...         print("Not fetched:", error)
    Not fetched: ...matbench_phonons.json.gz is missing, and download_if_missing is
    False. Save the file from https://...
    """


class DatasetIntegrityError(OSError):
    """The file of a dataset differs from the published one.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_cgcnn.datasets import fetch_matminer
    >>> from sklearn_cgcnn.exceptions import DatasetIntegrityError
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "matbench_phonons.json.gz").write_text("not found")
    ...     try:
    ...         fetch_matminer("matbench_phonons", data_home=folder)
    ...     except DatasetIntegrityError as error:
    ...         print("Not read:", error)
    Not read: ...matbench_phonons.json.gz differs from the published file: ...
    """


class TrainingDivergedError(ArithmeticError):
    """Weights of the network became infinite or NaN during training.

    Examples
    --------
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.exceptions import TrainingDivergedError
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(optimizer="sgd", lr=1e30, max_epochs=5, random_state=0)
    >>> try:
    ...     model.fit(structures, energy)
    ... except TrainingDivergedError as error:
    ...     print(error)
    training diverged in epoch ... with lr=1e+30; lower lr, or clip the gradients ...
    """


class ExtrapolationWarning(UserWarning):
    """A crystal is unlike those that a model can know much about.

    It has elements that no training crystal had, or edges that are longer than bonds
    are. The warning is given once in each call of `fit` or `predict`. To turn it into
    an error or to silence it, pass it as `category` to
    :func:`warnings.filterwarnings`.

    Examples
    --------
    >>> import warnings
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.exceptions import ExtrapolationWarning
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=1, random_state=0)
    >>> model = model.fit(structures[:19], energy[:19])
    >>> with warnings.catch_warnings(category=ExtrapolationWarning, action="error"):
    ...     try:
    ...         model.predict(structures)
    ...     except ExtrapolationWarning as warning:
    ...         print(warning)
    X[19] has elements that no training crystal has (Mg); predictions for them are
    extrapolations
    """


class FailedCrystalsWarning(UserWarning):
    """Crystals that cannot become graphs were left out of a training.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from pymatgen.core import Lattice, Structure
    >>> from sklearn_cgcnn import CGCNNRegressor
    >>> from sklearn_cgcnn.datasets import make_ionic_crystals
    >>> from sklearn_cgcnn.exceptions import FailedCrystalsWarning
    >>> structures, energy = make_ionic_crystals(20, random_state=0, return_X_y=True)
    >>> alloy = Structure(Lattice.cubic(2.86), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    >>> model = CGCNNRegressor(on_error="collect", max_epochs=1, random_state=0)
    >>> with warnings.catch_warnings(category=FailedCrystalsWarning, action="ignore"):
    ...     model = model.fit([alloy, *structures], [0.0, *energy])
    >>> np.isnan(model.predict([alloy, structures[0]])).tolist()
    [True, False]
    """
