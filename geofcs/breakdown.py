"""What an error of torch tells: that memory was too short, or that a GPU failed, perhaps for the rest of a process."""

from __future__ import annotations

import os
import re

import torch

NO_MEMORY = (
    "can't allocate memory",  # the system's, for which torch has no exception
    "CUDA error: out of memory",  # what is taken beside torch's pool: contexts, recorded graphs
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)

OF_A_GPU = re.compile(r"\b(CUDA|cuDNN|CUDNN|CUBLAS|cuFFT|CUFFT|NVIDIA|MPS)\b|\b(CUDNN|CUBLAS|CUFFT)_STATUS_")
"""In the messages of errors that torch, or a library below it, has no kind of their own for."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's or the system's memory was too short: less may fit."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(each in str(error) for each in NO_MEMORY)


def is_of_a_gpu(error: BaseException) -> bool:
    """Whether it is a GPU or its driver that failed."""
    return isinstance(error, torch.AcceleratorError) or OF_A_GPU.search(str(error)) is not None


def gpu_is_lost() -> bool:
    """Whether the GPU of this process answers nothing but errors any more.

    After an illegal access, a failed assertion or an error of its memory every later call in the process fails as well
    (CUDA's "sticky" errors); after any other error waiting for it succeeds.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def gpu_here() -> str:
    """What to call the GPU of this process."""
    number = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"GPU {number}" if number else "the GPU"


def first_line(error: BaseException) -> str:
    """What an error says, without torch's advice on how to debug it."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
