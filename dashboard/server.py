"""Streamlit's command with the pages' modules loaded: the first visitor need not wait for the imports.

python -m thalweg.dashboard.server run app.py --server.port 8501
"""

import contextlib
import gc
import importlib
import pkgutil

from streamlit import net_util
from streamlit.logger import set_log_level
from streamlit.web.cli import main

from thalweg.dashboard import views


def ask_nobody() -> None:
    """Keep Streamlit from asking a server of Amazon for this machine's address when it refuses an origin.

    Addresses by which others reach the dashboard are told to it: `thalweg dashboard --url`.
    """
    net_util.get_external_ip = lambda: None


if __name__ == "__main__":
    ask_nobody()
    set_log_level("ERROR")  # each cache remarks that no server runs yet
    for page in pkgutil.iter_modules(views.__path__, f"{views.__name__}."):
        with contextlib.suppress(Exception):  # the page itself tells what is wrong with it
            importlib.import_module(page.name)
    set_log_level("INFO")
    # Streamlit collects after each run of a page and of each fragment: 0.2 s with all that was imported
    gc.collect()
    gc.freeze()
    main(prog_name="streamlit")
