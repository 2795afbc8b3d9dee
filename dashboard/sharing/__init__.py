"""What a visitor can take along: the address, the figures and the numbers."""
