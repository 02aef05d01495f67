"""Formulas as MathML, which browsers draw by themselves: no script, no network.

docutils, on which Sphinx stands, has the converter. A command of LaTeX that it does not
know is a warning, which fails a build with ``-W``.
"""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)


def convert(node: nodes.math | nodes.math_block, as_block: bool) -> str:
    """The formula of a node."""
    try:
        return tex2mathml(node.astext().strip(), as_block=as_block)
    except MathError as error:
        LOGGER.warning("formula: %s", error, location=node)
        return f"<code>{nodes.unescape(node.astext())}</code>"


def inline(writer: HTML5Translator, node: nodes.math) -> None:
    """Writes a formula in a line of text."""
    writer.body.append(convert(node, as_block=False))
    raise nodes.SkipNode


def display(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Writes a formula on a line of its own."""
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    writer.body.append(f"{convert(node, as_block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
