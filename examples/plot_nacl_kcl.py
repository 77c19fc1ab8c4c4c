"""
NaCl against KCl, by hand
=========================

The supplement of Xie and Grossman (2018) works out the smallest crystal graph network
there can be: one convolution, one channel, two crystals. Here the network is trained,
and its prediction is then computed with pencil and paper (Eqs. S3 to S10).
"""

# %%
# Two crystals
# ------------
# In rock salt each site has six unlike neighbors. Potassium chloride is drawn as
# caesium chloride, in which it has eight. (Real KCl is a rock salt too.)

from pymatgen.core import Lattice, Structure

nacl = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
kcl = Structure(Lattice.cubic(3.83), ["K", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])

# %%
# The cell of NaCl has eight sites, but only two that differ: its graph is reduced to
# two nodes, each of which stands for four sites. Whole shells of neighbors are kept,
# so that to ask for six gives the six of NaCl and the eight of KCl.

from sklearn_cgcnn import CrystalGraphFeaturizer

featurizer = CrystalGraphFeaturizer(max_neighbors=6)
graphs = featurizer.fit_transform([nacl, kcl])
print("sites of NaCl:", len(nacl), " nodes of its graph:", graphs[0].n_sites)
print("each stands for", graphs[0].multiplicity, "sites")
print("neighbors in NaCl:", graphs[0].edge_weights)
print("neighbors in KCl: ", graphs[1].edge_weights)

# %%
# The network
# -----------
# Every site starts from a vector that only says what it is. One convolution by Eq. 4,
# without activation, norm or features of the edges, makes a single number of it and of
# its neighbors; the mean of these over the sites is the prediction. NaCl is to be +1
# and KCl -1.

from sklearn_cgcnn import CGCNNRegressor

model = CGCNNRegressor(
    conv="shared",
    n_conv_layers=1,
    n_site_channels=1,
    activation="identity",
    norm=None,
    site_features={"Cl": [1, 0, 0], "Na": [0, 1, 0], "K": [0, 0, 1]},
    edge_basis=None,
    readout="site",
    n_hidden_layers=0,
    max_epochs=300,
    random_state=0,
)
model.fit(graphs, [1.0, -1.0])
print("predictions:", model.predict(graphs).round(3))

# %%
# With pencil and paper
# ---------------------
# The weights of neighbors, w_c, and of the site itself, w_s, have one number for each
# of Cl, Na and K. The readout, linear as well, scales and shifts.

network = model.net_.module_.double()
conv, output = network.convs[0], network.readout.output
w_c = conv.of_neighbors.weight.detach().numpy()[0]
w_s = conv.of_site.weight.detach().numpy()[0]
print("w_c (Cl, Na, K):", w_c.round(3))
print("w_s (Cl, Na, K):", w_s.round(3))

# %%
# A sodium has six chlorines around it, and a chlorine six sodiums; in KCl there are
# eight. The two kinds are equally many, and so half of each counts:

mean_nacl = 3 * w_c[0] + 3 * w_c[1] + w_s[0] / 2 + w_s[1] / 2  # Eqs. S7 to S10
mean_kcl = 4 * w_c[0] + 4 * w_c[2] + w_s[0] / 2 + w_s[2] / 2

scale, shift = output.weight.item(), output.bias.item()
bias = conv.of_site.bias.item()  # none in the supplement
by_hand = [scale * (value + bias) + shift for value in (mean_nacl, mean_kcl)]
by_hand = model.target_mean_ + model.target_scale_ * by_hand

print("by hand:  ", by_hand)
print("predicted:", model.predict(graphs))

# %%
# It does not matter which cell the crystal is written in, of two sites or of eight:

primitive = nacl.get_primitive_structure()
print(f"{len(primitive)} sites:", model.predict([primitive]))
print(f"{len(nacl)} sites:", model.predict([nacl]))

# %%
# What each site contributes
# --------------------------
# The prediction is the mean of what the sites contribute. Chlorine is in both crystals,
# but does not contribute the same: it has heard of its neighbors.

from sklearn_cgcnn.inspection import site_contributions

of_nacl, of_kcl = site_contributions(model, [nacl, kcl])
print(f"NaCl: Na {of_nacl[0]:6.3f}, Cl {of_nacl[4]:6.3f}")
print(f"KCl:  K  {of_kcl[0]:6.3f}, Cl {of_kcl[1]:6.3f}")
