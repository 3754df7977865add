"""The resampler for NumPy arrays, compiled."""

import numpy as np
from numpy.typing import NDArray

def resample(
    data: NDArray[np.generic], warp: NDArray[np.generic], threads: int
) -> NDArray[np.generic]: ...
def resample_grad(
    data: NDArray[np.generic],
    warp: NDArray[np.generic],
    grad_output: NDArray[np.generic],
    threads: int,
) -> tuple[NDArray[np.generic], NDArray[np.generic]]: ...
def simd_level() -> str: ...
