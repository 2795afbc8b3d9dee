"""How each command of the pages is run by a test: for real, before a stand-in, or not at all.

The tests of pages take from this table which commands they run, so that it says what they do.
"""

from dataclasses import dataclass

from doc_blocks import ALL, Block

PAGES, LAB, DEPLOY = "test_docs_run.py", "test_docs_lab.py", "test_docs_deploy.py"


@dataclass(frozen=True)
class Way:
    """How commands are run.

    Attributes
    ----------
    page : ``*`` for all.
    beginning : of the command.
    kind : ``real``; ``stand-in``: another program takes the place of what it calls, which checks what it is
        given and does with files what the real one would; ``parsed``: nothing runs it.
    where : the test that runs it, in this folder or in `tests/`; for ``parsed``: why none does.
    """

    page: str
    beginning: str
    kind: str
    where: str


# the first that fits
WAYS = [
    Way("*", "make", "parsed", "it installs with pip or runs all tests; its targets are looked up"),
    # a group's services: no containers, cluster or Slurm here; the script for Slurm runs on a real one in
    # deploy/test_deploy_slurm.py, what Compose would start is started in deploy/test_deploy_listening.py
    Way("*", "docker", "stand-in", DEPLOY),
    Way("*", "kubectl", "stand-in", DEPLOY),
    Way("*", "sbatch", "stand-in", DEPLOY),
    Way("operators.md", "export COMPOSE_FILE", "stand-in", DEPLOY),
    Way("operators.md", "deploy/make_env.sh", "real", DEPLOY),
    # one machine: `thalweg up`, and what wants it
    Way("operations.md", "", "real", LAB),
    Way("operators.md", "prefect", "real", LAB),
    Way("README.md", "thalweg", "real", LAB),
    Way("cluster.md", "", "real", LAB),
    Way("dashboard.md", "export", "real", LAB),
    *(
        Way("guide.md", each, "real", LAB)
        for each in (
            "export",
            "thalweg submit",
            "thalweg jobs",
            "thalweg logs",
            "thalweg cancel",
            "thalweg dashboard",
        )
    ),
    *(
        Way("storage.md", each, "real", LAB)
        for each in ("export", "thalweg schedule", "thalweg reproduce", "thalweg data log s3://")
    ),
    Way("uncertainty.md", "thalweg", "real", "test_uncertainty_example.py"),
    *(
        Way(page, "thalweg", "real", PAGES)
        for page in (
            "evaluation.md",
            "extrapolation.md",
            "guide.md",
            "interpretation.md",
            "report.md",
            "search.md",
            "storage.md",
        )
    ),
]


def way_of(page: str, command: str) -> Way:
    """Give how a command of a page is run.

    Raises
    ------
    LookupError
        When the table does not say.
    """
    for way in WAYS:
        if way.page in ("*", page) and command.startswith(way.beginning):
            return way
    raise LookupError(f"{page}: {command}: nothing runs it; add it to the table")


def run_by(test: str, block: Block) -> list[str]:
    """Give the commands of a block that a test runs."""
    return [command for command in block.commands if way_of(block.page, command).where == test]


def all_ways() -> list[tuple[Block, str, Way]]:
    """Give every command of every page with how it is run."""
    return [
        (block, command, way_of(block.page, command))
        for block in ALL
        if block.kind == "commands"
        for command in block.commands
    ]
