"""Every shell session in README.md and docs/ is typed as it stands, and says what the page says.

The convention:

- A block fenced as `console` is a session. Lines that begin with `$ ` are typed into a fresh shell each, lines that
  begin with `> ` continue the command above, and the lines after it are what it prints, as a terminal shows it. A last
  line `(exit 2)` is the exit code, which is otherwise 0. A command without output lines may print anything.
- Numbers differ from machine to machine and run to run, so any number (with its unit), instant or length of time
  matches any other, any run of spaces or dashes any other, and a line `...` any number of lines.
- A block whose fence names a file, such as `python title=src/headwater/…`, is written there, so that a page can show
  how to add a table and then try it.
- What cannot be run here is fenced as `sh`, and each of its lines is in NOT_RUN with the reason.
- Blocks fenced otherwise are not run.

All pages, README.md first, then docs/ by name, share one copy of this project, so that what one session makes the
next may use. Each page is one test.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]

NOT_RUN = {
    "make test": "these very tests",
    "make clean": "would stop and remove what the next sessions need",
    ".venv/bin/headwater sandbox down": "would stop what the next sessions need",
}
"""The lines of `sh` blocks, and why they are not typed."""

ANY_LINES = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block: its fence's words, its text, and its place for messages."""

    fence: str
    text: str
    place: str


@dataclass(frozen=True)
class Command:
    typed: str
    printed: tuple[str, ...]
    exit_code: int


def blocks(page: Path) -> Iterator[Block]:
    document = Document(page.read_text(encoding="utf-8"), str(page))
    lexer = RawFencedCodeBlockLexer(info_pattern=re.compile(r"(?P<info>[^\n`]*)\n"))
    for region in lexer(document):
        place = f"{page.name}, {document.line_column(region.start)}"
        yield Block(str(region.lexemes["info"]).strip(), str(region.lexemes["source"]), place)


def commands(session: str) -> Iterator[Command]:
    typed: list[str] = []
    printed: list[str] = []
    for line in [*session.splitlines(), "$ "]:
        if line.startswith("$ "):
            if typed:
                yield command("\n".join(typed), printed)
            typed, printed = [line.removeprefix("$ ")], []
        elif line.startswith("> ") and not printed:
            typed.append(line.removeprefix("> "))
        else:
            printed.append(line)


def command(typed: str, printed: list[str]) -> Command:
    ended = re.fullmatch(r"\(exit (\d+)\)", printed[-1]) if printed else None
    return Command(typed, tuple(printed[:-1] if ended else printed), int(ended[1]) if ended else 0)


def put_files(folder: Path) -> None:
    """Make `folder` hold the project's files as git has them; of what a page added, keep only what git would not see."""
    for entry in folder.iterdir():
        if entry.name not in (".venv", ".headwater"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the environment that runs this test, and the lake and the sandbox that the pages make."""
    folder = tmp_path_factory.mktemp("clone") / "headwater"
    environment = folder / ".venv"
    environment.mkdir(parents=True)
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    files = ("uv.lock", "pyproject.toml")
    stamp = {name: hashlib.sha256((PROJECT / name).read_bytes()).hexdigest() for name in files} | {
        "project": str(folder)
    }
    (environment / "headwater-setup.json").write_text(json.dumps(stamp), encoding="utf-8")
    yield folder
    run("test ! -d .headwater/sandbox || .venv/bin/headwater sandbox down", folder)


@pytest.fixture
def workspace(clone: Path) -> Iterator[Path]:
    """The project as it was cloned, whatever the page before did to its files; the lake and the sandbox stay."""
    put_files(clone)
    yield clone
    run("kill $(cat *.pid 2>/dev/null)", clone)  # servers of a page that failed halfway
    for shop in {each.parent for each in clone.glob("*/.headwater")}:
        run("../.venv/bin/headwater sandbox down", shop)


def run(typed: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a line as in a fresh shell: nothing of this environment is on its PATH."""
    own = Path(sys.prefix) / "bin"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HEADWATER_", "VIRTUAL_ENV", "PYTEST_", "MAKE", "MFLAGS"))
        and name != "ARGS"  # what make was given for these tests
    }
    environment["PATH"] = os.pathsep.join(each for each in os.get_exec_path() if Path(each) != own)
    environment["PYTHONPATH"] = str(folder / "src")  # what a page adds counts, though the environment is the project's
    return subprocess.run(
        ["bash", "-c", typed],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def masked(line: str, folder: Path) -> str:
    """A line without what differs from machine to machine and from run to run."""
    line = line.replace(str(folder), "/path/to/headwater")
    line = re.sub(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|\+00:00)?", "N", line)
    line = re.sub(r"\d{8}T\d{6}(\.\d+)?\w*(-\w+)?", "N", line)
    line = re.sub(r"[-+]?\d[\d,]*(\.\d+)?", "N", line)
    line = re.sub(r"N (B|kB|MB|GB|TB|d|h|min|s)\b", "N", line)
    line = re.sub(r"N( N)+", "N", line)
    line = re.sub(r"─+", "─", line)
    return re.sub(r"\s+", " ", line).strip()


def says(shown: list[str], expected: list[str]) -> bool:
    """Whether the lines are as expected, where `...` stands for any number of lines."""
    if not expected:
        return not shown
    if expected[0] == ANY_LINES:
        return any(says(shown[skipped:], expected[1:]) for skipped in range(len(shown) + 1))
    return bool(shown) and shown[0] == expected[0] and says(shown[1:], expected[1:])


def check(typed: Command, place: str, folder: Path) -> None:
    done = run(typed.typed, folder)
    story = f"{place}: $ {typed.typed}\n{done.stdout}"
    assert done.returncode == typed.exit_code, story
    shown = [line for each in done.stdout.splitlines() if (line := masked(each, folder))]
    expected = [line for each in typed.printed if (line := masked(each, folder))]
    assert not expected or says(shown, expected), f"{story}\nthe page says:\n" + "\n".join(typed.printed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_does_what_it_says(page: Path, workspace: Path) -> None:
    for block in blocks(page):
        title = re.search(r"title=(\S+)", block.fence)
        if title:
            file = workspace / title[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.fence == "console":
            for typed in commands(block.text):
                check(typed, block.place, workspace)
        elif block.fence == "sh":
            unexplained = [line for line in block.text.splitlines() if line.strip() and line not in NOT_RUN]
            assert not unexplained, f"{block.place}: not run, and not in NOT_RUN: {unexplained}"


def test_a_session_is_read_as_it_was_typed() -> None:
    session = "$ echo a\na\n$ echo \\\n> b\n...\n(exit 2)\n$ true\n"

    assert list(commands(session)) == [
        Command("echo a", ("a",), 0),
        Command("echo \\\nb", ("...",), 2),
        Command("true", (), 0),
    ]


def test_numbers_sizes_and_instants_match_any_other_and_words_do_not(tmp_path: Path) -> None:
    def same(shown: str, expected: str) -> bool:
        return masked(shown, tmp_path) == masked(expected, tmp_path)

    assert same("orders  100,000   5.2 MB  2024-11-01 00:00:00", "orders  9  17.0 kB  2024-10-31 23:00:00")
    assert same("3 d 4 h old", "12 min 1 s old")
    assert same("Run 20241101T000000.123456Z-6cbe98 took", "Run 20241102T101112.000001Z-c0ffee took")
    assert same(f"lake {tmp_path}/.headwater", "lake /path/to/headwater/.headwater")
    assert not same("orders 1 landed", "orders 1 rejected")
    assert says(["a", "b", "c"], ["a", "...", "c"])
    assert not says(["a", "b"], ["a", "...", "c"])


def test_a_page_that_says_something_else_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n\n```console\n$ echo one\ntwo\n```\n\n```console\n$ exit 3\n```\n", encoding="utf-8")
    wrong, failing = blocks(page)

    with pytest.raises(AssertionError, match=r"page.md, line 3, column 1: \$ echo one"):
        check(next(commands(wrong.text)), wrong.place, tmp_path)
    with pytest.raises(AssertionError, match="exit 3"):
        check(next(commands(failing.text)), failing.place, tmp_path)
