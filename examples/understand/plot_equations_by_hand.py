"""
NaCl and KCl, computed by hand
==============================

The supplement of Xie and Grossman (2018) derives the output of a minimal crystal graph
network, with one convolution and one channel, for two crystals. This example trains
that network, and then computes its predictions from the weights by hand (Eqs. S3 to
S10).
"""

# %%
# Create two crystals
# -------------------
# In the rock salt structure, each site has six neighbors of the other element. As in
# the supplement, KCl has the cesium chloride structure here, with eight neighbors.
# (Real KCl crystallizes as rock salt, too.)

from pymatgen.core import Lattice, Structure

nacl = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
kcl = Structure(Lattice.cubic(3.83), ["K", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])

# %%
# The cell of NaCl has eight sites, but only two of them differ. Its graph is therefore
# reduced to two sites, each of which stands for four. The featurizer keeps whole shells
# of neighbors. With ``max_neighbors=6``, sites in NaCl have six neighbors, and sites in
# KCl have all eight of their nearest shell.

from sklearn_cgcnn import CrystalGraphFeaturizer

featurizer = CrystalGraphFeaturizer(max_neighbors=6)
graphs = featurizer.fit_transform([nacl, kcl])
print("sites of NaCl:", len(nacl), " sites of its graph:", graphs[0].n_sites)
print("multiplicity of the sites of the graph:", graphs[0].multiplicity)
print("number of neighbors in NaCl:", graphs[0].edge_weights)
print("number of neighbors in KCl: ", graphs[1].edge_weights)

# %%
# Train the network
# -----------------
# The initial vector of each site encodes its element. One convolution (Eq. 4), without
# activation, normalization or edge features, computes a single number from the vectors
# of the site and its neighbors. The prediction is the mean of these numbers over the
# sites. The targets are +1 for NaCl and -1 for KCl.

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
# Compute the predictions by hand
# -------------------------------
# The convolution has two weight vectors: w_c for the neighbors, and w_s for the site
# itself. Each has one number for Cl, one for Na and one for K. The readout is linear:
# it scales and shifts the result.

network = model.net_.module_.double()
conv, output = network.convs[0], network.readout.output
w_c = conv.neighbor_linear.weight.detach().numpy()[0]
w_s = conv.site_linear.weight.detach().numpy()[0]
print("w_c (Cl, Na, K):", w_c.round(3))
print("w_s (Cl, Na, K):", w_s.round(3))

# %%
# In NaCl, each sodium has six chlorine neighbors and each chlorine has six sodium
# neighbors. In KCl, each site has eight. Half of the sites belong to each element, so
# the mean over the sites contains half of each value:

mean_nacl = 3 * w_c[0] + 3 * w_c[1] + w_s[0] / 2 + w_s[1] / 2  # Eqs. S7 to S10
mean_kcl = 4 * w_c[0] + 4 * w_c[2] + w_s[0] / 2 + w_s[2] / 2

scale, shift = output.weight.item(), output.bias.item()
bias = conv.site_linear.bias.item()  # zero in the supplement
by_hand = [scale * (value + bias) + shift for value in (mean_nacl, mean_kcl)]
by_hand = model.target_mean_ + model.target_scale_ * by_hand

print("by hand:  ", by_hand)
print("predicted:", model.predict(graphs))

# %%
# The prediction does not depend on the choice of the cell. The primitive cell with two
# sites and the cubic cell with eight give the same result:

primitive = nacl.get_primitive_structure()
print(f"{len(primitive)} sites:", model.predict([primitive]))
print(f"{len(nacl)} sites:", model.predict([nacl]))

# %%
# Contributions of the sites
# --------------------------
# The prediction is the mean of the contributions of the sites. Chlorine occurs in both
# crystals, but its contributions differ, because the convolution also depends on its
# neighbors.

from sklearn_cgcnn.inspection import site_contributions

in_nacl, in_kcl = site_contributions(model, [nacl, kcl])
print(f"NaCl: Na {in_nacl[0]:6.3f}, Cl {in_nacl[4]:6.3f}")
print(f"KCl:  K  {in_kcl[0]:6.3f}, Cl {in_kcl[1]:6.3f}")
