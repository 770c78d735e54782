"""Pages, docstrings, comments and messages use the words that CONTRIBUTING.md asks for."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Not the changelog: its entries for old releases stay as they were written.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "api" / "console").rglob("*.js"),
    ROOT / ".env.example",
]
PACKAGES = [
    "config", "domain", "ml", "streams", "sinks", "agents", "services", "api", "infra",
    "benchmarks", "tests",
]  # fmt: skip

#: A word or phrase that readers have to guess at, and what to write instead.
REPLACED = {
    "anew": "again",
    "anybody|everybody|nobody|somebody": "any client, all users, no user, someone: say who it is",
    "at hand": "available",
    "beside": "next to, together with, in addition to",
    "burial|buried|buries|bury": "dead letter",
    "(?:is|are|was|were) away": "unavailable",
    "meanwhile": "until then, at the same time",
    "settlement|settlements": "outcome, handling",
    "stranger|strangers": "unknown",
    "ticket|tickets": "message",
    "told|untold": "informed, announced, answered, set",
    "whoever": "the client that, the process that: say who it is",
}


def found(text: str) -> list[str]:
    """The replaced words in a text, each with what to write instead."""
    return [
        f"{match.group()!r}: write {better}"
        for words, better in REPLACED.items()
        for match in re.finditer(rf"(?<![`'])\b(?:{words})\b(?![`'])", text, re.IGNORECASE)
    ]


def prose(source: str) -> list[tuple[int, str]]:
    """Line and text of every comment and string: docstrings, messages of logs and errors.

    A string without a blank is a name, for a program and not for people.
    """
    comments = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    strings = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    return comments + strings


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_words_of_the_vocabulary(page):
    problems = [
        f"{page.relative_to(ROOT)}:{number} {problem}"
        for number, line in enumerate(page.read_text().splitlines(), start=1)
        for problem in found(line)
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("package", PACKAGES)
def test_code_speaks_with_the_words_of_the_vocabulary(package):
    problems = [
        f"{path.relative_to(ROOT)}:{number} {problem}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != Path(__file__)  # it names the words
        for number, text in prose(path.read_text())
        for problem in found(text)
    ]
    assert not problems, "\n".join(problems)


def test_a_replaced_word_is_found_in_a_comment_a_docstring_and_a_message():
    source = '"""Nobody here."""\nraise ValueError(f"{name} is away")  # made anew\nburied_at = 1\n'
    words = [problem.split(":")[0] for _, text in prose(source) for problem in found(text)]
    assert sorted(words) == ["'Nobody'", "'anew'", "'is away'"]
