"""The options of `thalweg data`."""

from __future__ import annotations

import argparse

STORE_HELP = "a folder, s3://bucket/prefix, or the YAML file of an experiment"
VERSION_HELP = "a tag, the beginning of a snapshot, or `main`, the present version"


def add_actions(data: argparse.ArgumentParser) -> None:
    """Add what can be done with the versions of a store."""
    actions = data.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.add_argument("store", metavar="STORE", help=STORE_HELP)
        added.add_argument("--json", action="store_true", help="print JSON, for scripts")
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return added

    action("log", "list the versions of a store, the newest first")
    added = action("diff", "say what differs between two versions")
    added.add_argument("before", metavar="A", help=VERSION_HELP)
    added.add_argument("after", metavar="B", nargs="?", default="main", help="(default: main)")
    added = action("tag", "give a version a name that stays")
    added.add_argument("name", metavar="NAME")
    added.add_argument("version", metavar="VERSION", nargs="?", default="main", help="(default: main)")
    added = action("rollback", "make an earlier version the present one; the later ones are kept")
    added.add_argument("version", metavar="VERSION", help=VERSION_HELP)
    added = action("clean", "remove what killed updates left behind; no version is touched")
    added.add_argument(
        "--older-than",
        type=float,
        default=7.0,
        metavar="DAYS",
        help="longer than any update takes (default: 7)",
    )
