"""Experiments that are run in a moment."""

EXPERIMENT = {
    "name": "small",
    "data": {
        "store": "twin.zarr",
        "source": {"kind": "thalweg.flows.twin:twin", "sites": 4, "regions": 2, "years": 3, "seed": 3},
    },
    "splits": [
        {"kind": "temporal", "train": ["2001-01-01", "2001-12-31"], "test": ["2002-01-01", "2002-12-31"]}
    ],
    "models": {"lstm": {"kind": "lstm", "hidden": 3}},
}
"""A twin of four sites."""

RIVERS = """\
name: rivers
data: {store: data/rivers.zarr}
splits:
  - {kind: temporal, train: [2000-01-01, 2000-12-31], test: [2001-01-01, 2001-11-30]}
models:
  lstm: {kind: lstm, hidden: 4}
  climatology: {kind: climatology}
training: {epochs: 2, window: 60, warmup: 60}
"""
"""The file of one on the store that `synthetic_store.py` writes."""
