"""From a source to a store: what changed, partition by partition, in one atomic step."""
