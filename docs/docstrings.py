"""A Sphinx extension: docstrings of sparse_gf, plain text, as reStructuredText."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

# Literals and emphasis are markup that is meant.
LITERAL = re.compile(r"(``.*?``|(?<!\w)\*\w[^*]*\*(?!\w))")
# Not the star of a list.
MARKUP = re.compile(r"\||\*(?=\S)")

# What jaxtyping's PRNGKeyArray stands for.
KEY = re.compile(r"~?[\w.]*Key\[Array, ''\] \| .*?'2'\] \| .*?'4'\]")


def escape(line: str) -> str:
    """Takes the meaning of markup from ``|`` and ``*``, but in literals."""
    parts = LITERAL.split(line)
    parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def literal_blocks(lines: list[str]) -> list[str]:
    """Puts ``::`` before the indented blocks of a module's docstring."""
    found: list[str] = []
    inside = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not inside:
            found += ["::", ""]
        inside = indented or (inside and not line)
        found.append(line if inside else escape(line))
    return found


def process(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Changes a docstring before napoleon sees it."""
    del app, name, obj, options
    lines[:] = literal_blocks(lines) if what == "module" else map(escape, lines)


def skip(
    app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any
) -> bool | None:
    """Leaves out fields of named tuples, which the docstring of the class lists."""
    del app, what, name, skipped, options
    text = getattr(obj, "__doc__", None) or ""
    return True if text.startswith("Alias for field number") else None


def signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    arguments: str | None,
    returned: str | None,
) -> tuple[str | None, str | None] | None:
    """Leaves out what Flax adds to every module, and shortens types."""
    del app, what, name, obj, options
    arguments = re.sub(r"(, )?parent: Module .*", ")", arguments or "") or None

    def short(text: str | None) -> str | None:
        text = text and text.replace("~jaxlib._jax.Array", "Array")
        text = text and text.replace("jaxlib._jax.Array", "Array")
        return text and KEY.sub("PRNGKeyArray", text)

    return short(arguments), short(returned)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
