"""Kernels for GPUs: the same marches as on the CPU, written as Triton and compiled by it."""
