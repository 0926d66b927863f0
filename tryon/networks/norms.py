"""Batch norm over the batch of all processes that train together."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from tryon.distributed import averaged, processes
from tryon.networks.blocks import at_least_float32

OVER = (0, 2, 3)  # all but the channels


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that takes mean and variance over the batches of all processes, of equally many pixels each.

    What torch's SyncBatchNorm is on GPUs, on any device. Running statistics are the same bits in every process.
    """

    momentum: float | None  # None for the mean of all batches
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """N x C x H x W to the same shape, by the statistics of all N of all processes."""
        if not self.training:
            return super().forward(features)
        output, mean, variance = _Normalised.apply(features, self.weight, self.bias, self.eps)
        count = processes() * features.numel() // self.num_features
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / (count - 1)), share)
        return output


class _Normalised(torch.autograd.Function):
    """(features - mean) / sqrt(variance + eps) * weight + bias, and the joint mean and variance beside it."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = _joint_statistics(at_least_float32(features))
        ctx.save_for_backward(features, weight, mean, (variance + eps).rsqrt())
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(features, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, mean, scale = ctx.saved_tensors
        wide = at_least_float32(grad)
        normalised = (at_least_float32(features) - _a_channel(mean)) * _a_channel(scale)
        sums = torch.stack((wide.sum(OVER), (wide * normalised).sum(OVER)))
        # A process's gradients of weight and bias are of its own loss; what its features do to the mean and the
        # variance, they do to the losses of all.
        means = averaged(sums) / (grad.numel() // weight.numel())
        of_features = wide - _a_channel(means[0]) - normalised * _a_channel(means[1])
        return (of_features * _a_channel(weight * scale)).to(grad.dtype), sums[1], sums[0], None


def _joint_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over all processes, from theirs."""
    variance, mean = torch.var_mean(features, OVER, correction=0)
    own = torch.stack((mean, variance))
    every = [torch.empty_like(own) for _ in range(processes())]
    distributed.all_gather(every, own)
    means, variances = torch.stack(every).unbind(1)
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)


def _a_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def join_norms(model: nn.Module) -> None:
    """Let every batch norm of a model that learns take its statistics over all processes; keys stay as they are."""
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = JointBatchNorm2d  # the same parameters and buffers, another forward
