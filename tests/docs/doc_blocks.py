"""The blocks of the README and of the pages in `docs/`: what they are, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("thalweg", "make", "docker", "kubectl", "sbatch", "prefect", "pip", "helm", "ssh", "pg_dump")
SHELL = ("sh", "bash", "")
OUTPUT = ("text", "llvm", "py", "json", "toml", "nginx", "ini", "")


@dataclass(frozen=True)
class Block:
    """What stands between two lines of backticks.

    Attributes
    ----------
    kind : ``python``, ``yaml``, ``commands``, or ``output`` that is there to be read.
    """

    page: str
    line: int
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The name that the first line gives it, as ``# experiment.yaml``."""
        found = re.match(r"# (\S+\.(?:yaml|py|toml))\n", self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[str]:
        """Its commands, without comments, one a line."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks_of(page: Path) -> list[Block]:
    """Give the blocks of a page in their order.

    Raises
    ------
    ValueError
        When a block's language is none that these tests know.
    """
    found, inside, begun, language = [], [], 0, None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            inside.append(line)
        elif language is None:
            inside, begun, language = [], number, line[3:].strip()
        else:
            text = "".join(f"{each}\n" for each in inside)
            found.append(Block(page.name, begun, _kind(language, text), text))
            language = None
    return found


def _kind(language: str, text: str) -> str:
    first = text.split(maxsplit=1)[0] if text.split() else ""
    program = first in (*PROGRAMS, "export") or first.startswith("deploy/")
    if language in SHELL and (program or language):
        return "commands"
    if language in ("python", "yaml"):
        return language
    if language in OUTPUT:
        return "output"
    raise ValueError(f"a block of {language!r}: name one of {', '.join(filter(None, (*SHELL, *OUTPUT)))}")


def words_of(command: str) -> tuple[dict[str, str], list[str]]:
    """Split a command into the variables that it sets and its words."""
    words = shlex.split(command)
    given = {}
    if words and words[0] == "export":
        words = words[1:]
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        given[name] = value
    return given, words


ALL = [block for page in PAGES for block in blocks_of(page)]


def named(block: Block) -> str:
    """Name a block as tests print it."""
    return f"{block.page}:{block.line}"
