"""Process models, networks, hybrids, and how they are trained. PyTorch alone."""
