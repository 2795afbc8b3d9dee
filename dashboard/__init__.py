"""The web page: what was run, how good it is, and every site's hydrograph; `thalweg dashboard` serves it."""
