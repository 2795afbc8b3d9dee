"""One script a page, run by app.py."""
