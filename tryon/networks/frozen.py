"""Networks that never learn again, made as fast as they go."""

from __future__ import annotations

from types import UnionType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def freeze(network: nn.Module, dtype: torch.dtype | None = None) -> None:
    """Prepare a network, where it lies, for inference alone: in place, and for good.

    Batch norms that follow a convolution become part of it, which moves values by float32's rounding. Convolutions are
    kept in `dtype`, by default the one they have. On a CPU that multiplies it, oneDNN's own layout of their weights is
    made once instead of at every call, and the activation that follows is computed with them; the network can then not
    be moved or saved.
    On an NVIDIA GPU a ReLU that follows is computed with them.
    """
    network.eval().requires_grad_(False)
    fold_batch_norms(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                child.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
                if _laid_out_by_onednn(child):
                    activation = _taken_activation(module, name, nn.ReLU | nn.LeakyReLU)
                    setattr(module, name, _PackedConvolution(child, activation))
                elif _run_by_cudnn(child) and _taken_activation(module, name, nn.ReLU) is not None:
                    setattr(module, name, _ConvolutionWithReLU(child))
        if isinstance(module, nn.Sequential):
            for i in reversed(range(len(module))):
                if isinstance(module[i], nn.Identity):
                    del module[i]


def fold_batch_norms(network: nn.Module) -> None:
    """Make batch norms that follow a convolution part of it, in place; the network is in evaluation mode."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold(module)


def _fold(layers: nn.Sequential) -> None:
    for i in range(len(layers) - 1):
        convolution, norm = layers[i], layers[i + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers[i], layers[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()


def _laid_out_by_onednn(convolution: nn.Conv2d) -> bool:
    weight = convolution.weight
    return weight.device.type == "cpu" and torch.backends.mkldnn.is_available() and _multiplied_by_onednn(weight.dtype)


def _multiplied_by_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN has a layout for it on this CPU: half formats take instructions that not every one has."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return dtype == torch.float32


def _run_by_cudnn(convolution: nn.Conv2d) -> bool:
    """Where cuDNN is, and adds a bias itself: two more passes over its output cost as much as the convolution."""
    weight, cudnn = convolution.weight, torch.backends.cudnn
    is_nvidias = weight.device.type == "cuda" and torch.version.hip is None
    return is_nvidias and cudnn.is_available() and weight.dtype != torch.float64 and convolution.padding_mode == "zeros"


def _taken_activation(module: nn.Module, name: str, kind: type[nn.Module] | UnionType) -> nn.Module | None:
    """The activation of a kind after a convolution of a sequence, which no longer has it."""
    if not isinstance(module, nn.Sequential):
        return None
    for i in range(int(name) + 1, len(module)):
        following = module[i]
        if isinstance(following, kind):
            module[i] = nn.Identity()
            return following
        if not isinstance(following, nn.Identity):
            return None
    return None


class _PackedConvolution(nn.Module):
    """A convolution, and the activation after it, by the ops that torch's compiler makes of them."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module | None) -> None:
        super().__init__()
        self.dtype = convolution.weight.dtype
        self.places = convolution.padding, convolution.stride, convolution.dilation, convolution.groups
        # Neither a parameter nor a buffer: what moves and saves those does not know this layout.
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(convolution.weight.detach(), *self.places)
        self.bias = None if convolution.bias is None else convolution.bias.detach()
        self.activation, self.slopes = "none", list[float]()
        if isinstance(activation, nn.ReLU):
            self.activation = "relu"
        elif isinstance(activation, nn.LeakyReLU):
            self.activation, self.slopes = "leaky_relu", [activation.negative_slope]

    def _apply(self, *_: Any) -> NoReturn:
        raise RuntimeError("frozen network: found a move or another dtype, wanted those before it is frozen")

    def _save_to_state_dict(self, *_: Any) -> NoReturn:
        raise RuntimeError("frozen network: found a wish for its state, which it had before it was frozen")

    def forward(self, features: Tensor) -> Tensor:
        """N x C x H x W as of the convolution."""
        _refuse_gradient(features)
        return torch.ops.mkldnn._convolution_pointwise(
            features.to(self.dtype, memory_format=torch.channels_last),
            self.weight,
            self.bias,
            *self.places,
            self.activation,
            self.slopes,
            "",
        )


class _ConvolutionWithReLU(nn.Module):
    """A convolution and the ReLU after it, by the op that torch has for both; parameters keep their names."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self.places = convolution.stride, convolution.padding, convolution.dilation, convolution.groups

    def forward(self, features: Tensor) -> Tensor:
        """N x C x H x W as of the convolution."""
        _refuse_gradient(features)
        features = features.to(self.weight.dtype, memory_format=torch.channels_last)
        return torch.ops.aten.cudnn_convolution_relu(features, self.weight, self.bias, *self.places)


def _refuse_gradient(features: Tensor) -> None:
    if features.requires_grad and torch.is_grad_enabled():
        raise RuntimeError("features: found some that want a gradient, which no frozen network has")
