"""Thalweg: physics, networks and their hybrids put to the same test."""

from importlib.metadata import version

__version__ = version("thalweg")
