"""The pictures of the documentation: as the library draws them, and readable."""

import itertools
import pathlib
import re
import sys

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs"
sys.path.append(str(DOCS))

import pictures  # noqa: E402

NAMES = sorted(pictures.PICTURES)
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def drawn(svg):
    """Texts, shapes with their styles, and places of an SVG file, in points.

    Where glyphs stand depends on the version of Matplotlib, and so does a legend.
    """
    texts = re.findall(r"<!-- (.*?) -->", svg)
    found = re.findall(
        r'<g id="((?:patch|line2d)_\d+)">\s*<path d="([^"]*)"[^>]*?style="([^"]*)"', svg
    )
    shapes = [(name, re.sub(NUMBER, "", path), style) for name, path, style in found]
    places = [float(n) for _, path, _ in found for n in re.findall(NUMBER, path)]
    return texts, shapes, places


@pytest.fixture(scope="module", params=NAMES)
def picture(request):
    """A picture's name, and what is drawn."""
    with rc_context({"font.family": "DejaVu Sans"}):
        return request.param, pictures.PICTURES[request.param]()


def test_a_stored_picture_is_what_the_library_draws(picture, tmp_path, monkeypatch):
    name, canvas = picture
    monkeypatch.setitem(pictures.PICTURES, name, lambda: canvas)
    stored = drawn((pictures.FOLDER / f"{name}.svg").read_text())
    now = drawn(pictures.save(name, tmp_path).read_text())
    redraw = "python docs/pictures.py draws it again"
    assert now[:2] == stored[:2], redraw
    np.testing.assert_allclose(now[2], stored[2], atol=1, err_msg=redraw)


def test_every_picture_is_stored_and_shown():
    assert sorted(path.stem for path in pictures.FOLDER.iterdir()) == NAMES
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert sorted(set(re.findall(r"!\[[^]]+\]\(pictures/(\w+)\.svg\)", pages))) == NAMES


def collisions(figure):
    """Texts of a figure that leave it or lie on one another."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]
    boxes = {text: text.get_window_extent(renderer) for text in texts}
    for text, box in boxes.items():
        inside = figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
        if not (inside and figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1):
            yield text.get_text()
    for (first, ours), (second, theirs) in itertools.combinations(boxes.items(), 2):
        if ours.overlaps(theirs):
            yield first.get_text(), second.get_text()


def test_texts_of_a_picture_do_not_collide(picture):
    _, canvas = picture
    assert list(collisions(canvas.figure)) == []


def test_the_check_sees_collisions():
    canvas = pictures.Canvas(100)
    for x, y, text in ((50, 50, "one"), (52, 54, "two"), (50, 90, "x"), (1, 70, "out")):
        canvas.text(x, y, text)
    assert list(collisions(canvas.figure)) == ["out", ("one", "two")]


def test_the_example_of_gradient_flow_is_right():
    norms, flow, whole = pictures.norms_of_example()
    # 3 and 4; 1, 8 and 4; 5 and 12 are active; the other squares sum to 125.
    assert norms == [5, 9, 13]
    assert (flow, whole) == (9, 20)
