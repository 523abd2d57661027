"""What errors add to a sentence, the nearest name that there is; and which ones are of want of memory."""

import pytest
import torch

from ltbench.errors import is_out_of_memory, nearest


@pytest.mark.parametrize("typed", ["cifar10-lt", "CIFAR10_LT", "Cifar10LT", "cifar10_lt "])
def test_the_nearest_name_is_found_in_any_case(typed):
    assert nearest(typed, ["digits_lt", "cifar10_lt"]) == "; did you mean 'cifar10_lt'?"


def test_a_name_like_none_gets_the_list():
    assert nearest("faces", ["digits_lt", "cifar10_lt"]) == "; known: cifar10_lt, digits_lt"


def test_want_of_memory_is_known_by_what_libraries_say():
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(ImportError("libtorch_cpu.so: failed to map segment from shared object"))
    assert is_out_of_memory(RuntimeError("can't start new thread"))
    assert is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert not is_out_of_memory(KeyError("memory"))
    assert is_out_of_memory(torch.cuda.OutOfMemoryError())
