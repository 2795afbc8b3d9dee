"""Parts of the pages, each drawn by one page or two."""
