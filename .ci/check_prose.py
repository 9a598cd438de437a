#!/usr/bin/env python3
"""Check the English of Markdown, reStructuredText, Python and Snakemake files.

Usage: python .ci/check_prose.py [--report] FILE ...

In Markdown and reStructuredText the check reads running text, list items and headings.
Code blocks, tables and link targets are left out.
In Python and Snakemake files it reads docstrings, comments and strings of four words or more.

A problem is one line, "file:line: what is wrong: the words".
The exit status is 1 if there is any problem.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST = 35  # words in a sentence
MEAN = 18.0  # words per sentence, over all Markdown files given

_UNIT = (
    r"(?:image|class|seed|stage|row|job|epoch|detection|column|line|file|recipe|experiment|table|"
    r"GPU|id|process|worker|channel|split|network|batch|step|region|cell|pixel|study|mask|photo|"
    r"shard|node|kind|map)"
)
BANNED = {
    "'is no' (write 'is not a')": re.compile(r"\b(?:is|are|was|were) no (?!longer\b)", re.I),
    "'that of', 'those of'": re.compile(r"\b(?:that|those|the ones?) of\b", re.I),
    "'but for' (write 'except')": re.compile(r"\bbut for\b", re.I),
    "'anew' (write 'again')": re.compile(r"\banew\b", re.I),
    "'beside' (write 'next to')": re.compile(r"\bbesides?\b", re.I),
    "'behind' (write 'after')": re.compile(r"\bbehind\b", re.I),
    "'tell' (write 'report' or 'say')": re.compile(r"\b(?:tells?|told)\b", re.I),
    "'a … a …' (write 'per')": re.compile(
        r"\b(?:(?:one|two|three|four|each|an?) [\w-]+|one|once|twice"
        r"|one (?!may\b)[\w-]+ (?!is\b|of\b|writes\b)[\w-]+) "
        rf"an? {_UNIT}\b",
        re.I,
    ),
}
_ABBREVIATIONS = re.compile(r"\b(?:e\.g|i\.e|cf|vs|etc|al|Eq|Eqs|Fig|Sec|approx|no)\.", re.I)


class Sentence(NamedTuple):
    """Some words and the place where they begin."""

    file: Path
    line: int
    text: str

    @property
    def words(self) -> int:
        """A run of letters, digits and signs between blanks counts, a lone sign does not."""
        return sum(bool(re.search(r"\w", word)) for word in self.text.split())


def sentences(block: str) -> list[str]:
    """The sentences of one paragraph."""
    safe = _ABBREVIATIONS.sub(lambda match: match.group().replace(".", "․"), block)
    return [part for part in re.split(r"(?<=[.!?])[)\"'*_]*\s+", safe.strip()) if part]


def plain(text: str) -> str:
    """Markdown text as it is read: code is one word, a link is its words."""
    text = re.sub(r"``[^`]+``|`[^`]*`", "code", text)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<https?://[^>]*>|https?://\S+", "link", text)
    return re.sub(r"\*\*|__|(?<!\w)[*_]|[*_](?!\w)", "", text)


def blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(first line, lines) of each paragraph, list item and heading of a Markdown or RST file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    fence, indented = "", False
    block: list[str] = []
    first = 0
    for number, line in enumerate([*lines, ""], 1):
        stripped = line.strip()
        if fence:
            fence = "" if stripped.startswith(fence) else fence
            continue
        opening = re.match(r"(?:[-*] )?(```+|~~~+|:::+)", stripped)
        if opening:
            fence = opening.group(1)
            stripped = ""
        indented = bool(re.match(r"    ", line)) and not block and not _is_item(stripped)
        heading, item = stripped.startswith("#"), _is_item(stripped)
        table = stripped.startswith(("|", "+-", "..", "<", "%", "(", "{")) and not item
        rule = bool(re.fullmatch(r"[=\-~^\"*_]{3,}", stripped))
        if (not stripped or heading or item or table or rule or indented) and block:
            yield first, block
            block = []
        if not stripped or (table and not stripped.startswith("(")) or rule or indented:
            continue
        if not block:
            first = number
        block.append(re.sub(r"^(?:#+|[-*]|\d+[.)]) +", "", stripped))
        if heading:
            yield first, block
            block = []


def _is_item(line: str) -> bool:
    return bool(re.match(r"(?:[-*]|\d+[.)]) ", line))


def prose(path: Path) -> Iterator[Sentence]:
    """The sentences of a Markdown or reStructuredText file."""
    for first, lines in blocks(path):
        for sentence in sentences(plain("\n".join(lines))):
            # The line of its first words, as far as they can be found.
            yield Sentence(path, first, " ".join(sentence.split()))


def crowded(path: Path) -> Iterator[Sentence]:
    """Lines that hold the end of one sentence and the beginning of the next."""
    for first, lines in blocks(path):
        for offset, line in enumerate(lines):
            if len(sentences(plain(line))) > 1:
                yield Sentence(path, first + offset, " ".join(plain(line).split()))


def code_prose(path: Path) -> Iterator[Sentence]:
    """Docstrings, comments and longer strings of a Python or Snakemake file."""
    text = path.read_text(encoding="utf-8")
    for number, words in _comments(text):
        yield Sentence(path, number, words)
    if path.suffix != ".py":
        for number, line in enumerate(text.splitlines(), 1):
            for string in re.findall(r"\"([^\"]{12,})\"", line):
                yield from _string(path, number, string)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "x" for p in node.values]
            yield from _string(path, node.lineno, "".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _string(path, node.lineno, node.value)


def _comments(text: str) -> Iterator[tuple[int, str]]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.lstrip("# ")
    except (tokenize.TokenError, IndentationError):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip().startswith("#"):
                yield number, line.strip().lstrip("# ")


def _string(path: Path, line: int, text: str) -> Iterator[Sentence]:
    if len(text.split()) < 4:
        return
    for block in re.split(r"\n\s*\n|\n\s*[-*] ", text):
        for sentence in re.split(r"(?<=[.!?:;])\s+", plain(block).strip()):
            if sentence:
                yield Sentence(path, line, " ".join(sentence.split()))


def problems(found: list[Sentence], *, semicolons: bool) -> Iterator[str]:
    """What is wrong with each sentence, as lines."""
    for sentence in found:
        place = f"{sentence.file}:{sentence.line}"
        if sentence.words > LONGEST:
            yield f"{place}: {sentence.words} words: {sentence.text[:100]}"
        for name, pattern in BANNED.items():
            for match in pattern.finditer(sentence.text):
                around = sentence.text[max(0, match.start() - 30) : match.end() + 30]
                yield f"{place}: {name}: {around}"
        if semicolons and ";" in sentence.text:
            yield f"{place}: a semicolon: {sentence.text[:100]}"


def main(arguments: list[str]) -> int:
    """Print the problems of the files, and with --report each Markdown file's figures."""
    report = "--report" in arguments
    files = [Path(name) for name in arguments if name != "--report"]
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    lines: list[str] = []
    lengths: list[int] = []
    for path in files:
        if path.suffix in (".md", ".rst"):
            found = list(prose(path))
            lines += problems(found, semicolons=True)
            lines += [
                f"{s.file}:{s.line}: two sentences on one line: {s.text[:100]}"
                for s in crowded(path)
            ]
            own = [s.words for s in found]
            lengths += own
            if report and own:
                mean, longest = statistics.fmean(own), max(own)
                print(f"{path}: {mean:.1f} words per sentence, longest {longest}, of {len(own)}")
        else:
            lines += problems(list(code_prose(path)), semicolons=False)
    print("\n".join(lines), end="\n" if lines else "")
    if lengths:
        mean, longest = statistics.fmean(lengths), max(lengths)
        print(f"all: {mean:.1f} words per sentence, longest {longest}, of {len(lengths)}")
        if mean >= MEAN:
            print(f"the mean is not below {MEAN:.0f} words: shorten sentences")
            return 1
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
