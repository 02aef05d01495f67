"""A Sphinx extension: ``{figures} FOLDER`` shows the figures of a folder."""

import os
import pathlib
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from sparse_gf import studies
from sparse_gf.core.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]


def caption(file: pathlib.Path) -> str:
    """The title of the study that a figure is of, or where it is."""
    try:
        return studies.get(file.stem).title
    except UserError:
        return f"`{file.resolve().relative_to(ROOT)}`"


class Figures(SphinxDirective):
    """The figures of a folder, PNG where there are both, each with its title."""

    required_arguments = 1
    option_spec: ClassVar = {"suffix": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Makes them."""
        page = pathlib.Path(self.env.doc2path(self.env.docname)).parent
        suffix = self.options.get("suffix", "png")
        files = sorted((page / self.arguments[0]).glob(f"*.{suffix}"))
        if not files:
            raise self.error(f"{self.arguments[0]} has no figures.")
        shown = (
            f"```{{figure}} {os.path.relpath(file, page)}\n"
            f":alt: {file.stem}\n\n{caption(file)}\n```"
            for file in files
        )
        return self.parse_text_to_nodes("\n\n".join(shown))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.add_directive("figures", Figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
