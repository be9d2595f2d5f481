"""Layers that stand in for torch's own: same parameters under the same names, another arithmetic.

They import torch, which reading a plan does not: structures import them when they build a net.
"""
