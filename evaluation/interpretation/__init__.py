"""What a model learned: what its physics says, what its network decides and uses."""
