"""Who may read the pages, and who may start something from them."""
