"""The device to train and predict on."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from helpers import outputs


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for what is there")
def test_a_missing_gpu_is_named(estimator, target, ionic):
    with pytest.raises(ValueError, match=r"device='cuda'.*\"auto\" or \"cpu\""):
        estimator.set_params(device="cuda").fit(ionic.data, target)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_gpu_is_used_and_agrees(estimator, target, ionic):
    on_gpu = clone(estimator).fit(ionic.data, target)
    assert next(on_gpu.net_.module_.parameters()).is_cuda
    on_cpu = clone(estimator).set_params(device="cpu").fit(ionic.data, target)
    np.testing.assert_allclose(
        outputs(on_gpu, ionic.data), outputs(on_cpu, ionic.data), rtol=1e-2, atol=1e-2
    )
