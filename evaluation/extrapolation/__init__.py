"""Whether skill holds outside of what was trained on."""
