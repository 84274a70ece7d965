"""The DwiseNeuros that benchmarks measure."""

from __future__ import annotations

import torch
from torch import nn

from neuroreel.encoding.dwiseneuro.network import DwiseNeuroConfig, DwiseNeuroNetwork

PAPER_NEURONS = (7863, 7908, 8202, 7939, 8122, 7440, 7928, 8285, 7671, 7495)  # new mice, then old ones
LARGEST = PAPER_NEURONS.index(max(PAPER_NEURONS))


def paper_config() -> DwiseNeuroConfig:
    """The configuration of the paper's retraining (Bauer, Margrie & Clopath, eLife 2026): expansion 7."""
    return DwiseNeuroConfig(readout_neurons=PAPER_NEURONS)


def small_config() -> DwiseNeuroConfig:
    """That of the small model whose published results the tests reproduce."""
    return DwiseNeuroConfig(
        readout_neurons=(32, 33, 21, 28, 36, 35, 32, 29, 35, 31),
        core_features=(8, 8, 16),
        spatial_strides=(2, 2, 1),
        cortex_features=(32, 64),
        expansion_ratio=3,
        se_reduce_ratio=4,
    )


def settled_network(config: DwiseNeuroConfig) -> DwiseNeuroNetwork:
    """Random weights, but batch norms that have seen data, as after training.

    With the statistics that they start with, activations grow from block to block until gradients become denormal
    numbers, which processors add and multiply many times more slowly.
    """
    torch.manual_seed(0)
    network = DwiseNeuroNetwork(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(2, config.in_channels, 16, 64, 64) * 255, 0)
    return network.eval()
