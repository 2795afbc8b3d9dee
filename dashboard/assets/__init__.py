"""Files the dashboard ships: map boundaries (their origin is in README.md)."""
