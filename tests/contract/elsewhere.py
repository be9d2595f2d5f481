"""A device that is not the processor and computes what it computes: the accelerator of machines that have none.

Its tensors hold a tensor of the processor inside and say that they are elsewhere. Every operation runs on what is
inside, so that results are those of the processor to the bit. As on a real accelerator, an operation that mixes its
tensors with those of the processor is refused, and numpy cannot read them. What goes there and back is counted, and so
is how often the device had to stop because somebody asked for a number.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)  # the two ways from one device to another
UNREPEATED = frozenset(
    [
        "_adaptive_avg_pool2d_backward",
        "_adaptive_avg_pool3d_backward",
        "adaptive_max_pool2d_backward",
        "avg_pool3d_backward",
        "fractional_max_pool2d_backward",
        "fractional_max_pool3d_backward",
        "max_unpool2d",
        "max_unpool3d",
        "upsample_linear1d_backward",
        "upsample_bilinear2d_backward",
        "upsample_bicubic2d_backward",
        "upsample_trilinear3d_backward",
        "reflection_pad1d_backward",
        "reflection_pad2d_backward",
        "reflection_pad3d_backward",
        "nll_loss2d_forward",
        "nll_loss2d_backward",
        "_ctc_loss_backward",
        "_embedding_bag_dense_backward",
        "put_",
        "histc",
        "bincount",
        "median",
        "kthvalue",
        "grid_sampler_2d_backward",
        "grid_sampler_3d_backward",
        "cumsum",
    ]
)
"""What torch 2.13 says of CUDA that it does not repeat to the bit (`torch.use_deterministic_algorithms`)."""
STOPS = (aten._local_scalar_dense.default, aten.equal.default)


class Tensor(torch.Tensor):
    """A tensor that is elsewhere."""

    @staticmethod
    def __new__(cls, inside):
        kept = {"dtype": inside.dtype, "device": device(), "requires_grad": False}
        with torch.inference_mode(False):  # torch cannot make views of such a tensor in that mode
            made = torch.Tensor._make_wrapper_subclass(
                cls, inside.size(), inside.stride(), inside.storage_offset(), **kept
            )
        made.inside = inside
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl


class Elsewhere(TorchDispatchMode):
    """While it is entered, the device is there.

    `ran` has the names of the operations, `stops` counts how often it had to stop to tell a number, `sent` has the
    bytes of every tensor that came to it, and `returned` of every one that left.
    """

    def __init__(self):
        super().__init__()
        self.stops = 0
        self.ran = set()
        self.sent, self.returned = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = _run(function, args, kwargs or {})
        if function in COPIES:
            source = args[1] if function is aten.copy_.default else args[0]
            if isinstance(out, Tensor) and not isinstance(source, Tensor):
                self.sent.append(source.nbytes)
            if isinstance(source, Tensor) and not isinstance(out, Tensor):
                self.returned.append(out.nbytes)
        self.ran.add(function.overloadpacket.__name__)
        self.stops += function in STOPS and any(isinstance(value, Tensor) for value in args)
        return out


class MixedDevicesError(Exception):
    """Tensors of two devices met in one operation."""


@cache
def device():
    """Return the device, made known to torch once per process."""
    _setup_privateuseone_for_python_backend("elsewhere", backend_module=_Module())
    return torch.device("elsewhere", 0)


class _Module:
    """What torch asks of a kind of device; its generator is the processor's."""

    def __getattr__(self, name):
        raise AttributeError(name)

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass

    def device_count(self):
        return 1

    def current_device(self):
        return 0

    def get_rng_state(self):
        return torch.get_rng_state()

    def set_rng_state(self, state):
        torch.set_rng_state(state)

    def get_amp_supported_dtype(self):
        return []


def _run(function, args, kwargs):
    tensors = [
        value for value in torch.utils._pytree.arg_tree_leaves(*args, **kwargs) if isinstance(value, torch.Tensor)
    ]
    there = [isinstance(value, Tensor) for value in tensors]
    wanted = kwargs.get("device")
    if wanted is not None:
        goes = torch.device(wanted).type == device().type
        kwargs = kwargs | {"device": torch.device("cpu")}
    else:
        goes = any(there)
    if function not in COPIES:
        strangers = [value for value, away in zip(tensors, there, strict=True) if not away and value.dim()]
        if any(there) and strangers:
            raise MixedDevicesError(f"{function} of {[tuple(value.shape) for value in strangers]} from the processor")
    if function is aten.copy_.default:
        goes = there[0]
    plain_args, plain_kwargs = tree_map(_inside, args), tree_map(_inside, kwargs)
    with torch.utils._python_dispatch._disable_current_modes():
        out = ONLY_THERE.get(function, function)(*plain_args, **plain_kwargs)
        if not goes:
            return out
        out = tree_map(lambda value: Tensor(value) if isinstance(value, torch.Tensor) else value, out)
        return return_and_correct_aliasing(function, args, kwargs, out) if any(there) else out


def _lstm_cell(inputs, hidden, before, *biases):
    """Compute the gates of one step: torch has this operation on accelerators only."""
    gates = sum(biases, inputs + hidden)
    take, keep, new, show = gates.chunk(4, 1)
    take, keep, new, show = take.sigmoid(), keep.sigmoid(), new.tanh(), show.sigmoid()
    cell = keep * before + take * new
    return show * cell.tanh(), cell, torch.cat([take, keep, new, show], 1)


def _lstm_cell_backward(slope_out, slope_cell, before, cell, gates, has_bias):
    take, keep, new, show = gates.chunk(4, 1)
    bent = cell.tanh()
    out = torch.zeros_like(bent) if slope_out is None else slope_out
    inner = out * show * (1 - bent**2) + (0 if slope_cell is None else slope_cell)
    slopes = [
        inner * new * take * (1 - take),
        inner * before * keep * (1 - keep),
        inner * take * (1 - new**2),
        out * bent * show * (1 - show),
    ]
    all_slopes = torch.cat(slopes, 1)
    return all_slopes, inner * keep, all_slopes.sum(0) if has_bias else None


ONLY_THERE = {
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
}


def _inside(value):
    return value.inside if isinstance(value, Tensor) else value


@contextmanager
def elsewhere():
    """Enter the device."""
    device()
    # One thread, as torch has queues only for devices that were there when it began.
    with torch.autograd.set_multithreading_enabled(False), Elsewhere() as mode:
        yield mode
