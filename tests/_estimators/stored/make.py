"""Store a fitted model and its predictions, in the current version of the state.

Run it once after raising the version of the state. Keep the files of older versions:

    python tests/_estimators/stored/make.py
"""

import json
import pickle
from pathlib import Path

from sklearn_cgcnn import CGCNNRegressor
from sklearn_cgcnn.datasets import make_ionic_crystals

crystals = make_ionic_crystals(20, random_state=0)
model = CGCNNRegressor(
    n_conv_layers=1,
    n_site_channels=4,
    n_hidden_channels=4,
    site_features=["group", "period"],
    edge_basis="one-hot",
    max_epochs=5,
    device="cpu",
    random_state=0,
).fit(crystals.data, crystals.target)
folder, name = Path(__file__).parent, f"regressor_v{model._state_version}"
(folder / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=4))
predictions = model.predict(crystals.data).tolist()
(folder / f"{name}.json").write_text(json.dumps(predictions))
