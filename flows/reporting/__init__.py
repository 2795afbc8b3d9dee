"""`thalweg report`: an experiment as one page of text, tables and figures."""
