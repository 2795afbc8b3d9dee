"""What the pages show: runs, metrics, evaluations and stores, read once and kept until the files change."""
