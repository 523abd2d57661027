"""A stand-in for a U-Net's up half, for stub denoisers."""

import torch


class UpHalf(torch.nn.Module):
    """The up half of a network, as far as a method that attaches to it looks."""

    def __init__(self):
        super().__init__()
        resnet, block = torch.nn.Module(), torch.nn.Module()
        resnet.conv1, resnet.conv2 = torch.nn.Conv2d(4, 4, 3), torch.nn.Conv2d(4, 4, 3)
        block.resnets, block.upsamplers = torch.nn.ModuleList([resnet]), None
        self.up_blocks = torch.nn.ModuleList([block])
