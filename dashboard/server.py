"""Streamlit's command with the pages' modules loaded: the first visitor need not wait for the imports.

python -m thalweg.dashboard.server run app.py --server.port 8501
"""

import contextlib
import gc
import importlib
import pkgutil

from streamlit.logger import set_log_level
from streamlit.web.cli import main

from thalweg.dashboard import views

if __name__ == "__main__":
    set_log_level("ERROR")  # each cache remarks that no server runs yet
    for page in pkgutil.iter_modules(views.__path__, f"{views.__name__}."):
        with contextlib.suppress(Exception):  # the page itself tells what is wrong with it
            importlib.import_module(page.name)
    set_log_level("INFO")
    # Streamlit collects after each run of a page and of each fragment: 0.2 s with all that was imported
    gc.collect()
    gc.freeze()
    main(prog_name="streamlit")
