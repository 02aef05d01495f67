"""What the report of a mask file says, and which files it refuses."""

import io
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import rich.console

from sparse_gf import masks
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.masks import connectivity
from sparse_gf.models import catalog
from sparse_gf.reporting import mask_report

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Two inputs, three hidden units, two outputs; one of three active weights leads on.
HAND_DRAWN = {
    "Dense_0": {"kernel": jnp.array([[1, 0, 1], [0, 0, 1]], bool)},
    "Dense_1": {"kernel": jnp.array([[1, 0], [0, 1], [0, 0]], bool)},
}
ABOUT = {"model": "mlp_1_3", "num_classes": 2, "image_shape": [1, 2, 1], "seed": 7}


def shown(path, given=None, other=None, width=80):
    text = io.StringIO()
    console = rich.console.Console(
        file=text, width=width, markup=False, highlight=False
    )
    mask_report.show(str(path), given or {}, other, console)
    return text.getvalue()


def dense(name, image=(32, 32, 3), **style):
    model = catalog.make(name, 10, **style)
    image = jnp.zeros((1, *image))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image))
    return masks.ones(shapes["params"])


def saved(path, found=HAND_DRAWN, about=ABOUT):
    masks.save(path, found, about)
    return str(path)


def rows(text):
    """Cells of the lines of tables by their first one."""
    cells = [line.split() for line in text.splitlines() if line.strip()]
    return {first: rest for first, *rest in cells}


def test_the_report_of_a_network_drawn_by_hand(tmp_path):
    text = shown(saved(tmp_path / "a.npz"))
    table = rows(text)
    assert table["Dense_0"] == ["2x3", "6", "3", "50.00", "1", "2"]
    assert table["Dense_1"] == ["3x2", "6", "2", "33.33", "1", "1"]
    assert table["Total"] == ["12", "5", "41.67", "2", "3"]
    assert "Density 41.67%; effective density 16.67%" in text
    assert "Parameters, those never pruned too: 12; active 5." in text
    assert "dense 24; sparse 10, 41.67%." in text
    assert f"Digest: {masks.digest(HAND_DRAWN)}" in text
    assert '"seed": 7' in text
    assert "Warning" not in text


class Own(nn.Module):
    """A kernel of three axes, which its name leaves open, and a normalisation."""

    @nn.compact
    def __call__(self, x):
        heads = nn.LayerNorm()(nn.DenseGeneral((2, 3), name="split")(x))
        return nn.DenseGeneral(3, axis=(-2, -1), name="join")(heads)


def test_a_users_own_model_is_made_again_where_it_can_be_imported(tmp_path):
    params = Own().init(jax.random.key(0), jnp.ones((1, 6)))["params"]
    found = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
    found["split"]["kernel"] = found["split"]["kernel"].at[:3].set(False)
    about = {"model": f"{__name__}:Own", "num_classes": 3, "image_shape": [6]}
    text = shown(saved(tmp_path / "a.npz", found, about))
    assert rows(text)["split"] == ["6x6", "36", "18", "50.00", "-", "-"]
    assert "Density 66.67%. Paths through a model of your own are not known." in text
    assert "dense 108; sparse 72, 66.67%." in text
    with pytest.raises(UserError, match="'gone:Own', which cannot be imported"):
        shown(saved(tmp_path / "b.npz", found, about | {"model": "gone:Own"}))


def test_layers_without_weights_and_without_paths_are_named(tmp_path):
    empty = jnp.zeros((3, 2), bool)
    found = HAND_DRAWN | {"Dense_1": {"kernel": empty}}
    text = shown(saved(tmp_path / "a.npz", found))
    assert "Warning: collapsed, without active weights: Dense_1." in text
    assert "Warning: active weights, and none on any path: Dense_0." in text
    assert "Warning: no output depends on the input." in text


def test_the_overlap_of_two_files(tmp_path):
    # Of 3 + 2 active weights, 2 + 0 are active in the other file, which has 4 + 0.
    other = {
        "Dense_0": {"kernel": jnp.array([[1, 1, 1, 0, 1, 0]], bool).reshape(2, 3)},
        "Dense_1": {"kernel": jnp.zeros((3, 2), bool)},
    }
    first = saved(tmp_path / "a.npz")
    text = shown(first, other=saved(tmp_path / "b.npz", other, {}))
    table = rows(text.partition("Common with")[2])
    assert table["Dense_0"] == ["3", "4", "2", "0.400", "66.67"]
    assert table["Dense_1"] == ["2", "0", "0", "0.000", "0.00"]
    assert table["Total"] == ["5", "4", "2", "0.286", "40.00"]


def test_nothing_in_a_file_steers_the_terminal(tmp_path):
    about = ABOUT | {"note": "\x1b[2J [red]x[/red]"}
    text = shown(saved(tmp_path / "[bold]a.npz", about=about), width=200)
    assert "\x1b" not in text
    assert "[bold]a.npz" in text
    assert "\\u001b[2J [red]x[/red]" in text


def test_tables_of_the_longest_names_fit_a_terminal():
    shapes = {"Conv_1": (3, 3, 640, 640), "Shortcut": (1, 1, 1024, 2048)}
    block = {name: {"kernel": jnp.ones(of, bool)} for name, of in shapes.items()}
    found = {f"Stage_{stage}_Block_0": block for stage in (1, 2, 3)}
    text = io.StringIO()
    console = rich.console.Console(file=text, width=80)
    console.print(mask_report.layer_table("a.npz", found, found))
    overlaps = connectivity.overlap(found, found)
    console.print(mask_report.overlap_table("b.npz", overlaps))
    layers = [f"Stage_{stage}_Block_0/{name}" for stage in (1, 2, 3) for name in shapes]
    lines = [line.split() for line in text.getvalue().splitlines() if "Stage" in line]
    assert [line[0] for line in lines] == layers * 2
    assert [len(line) for line in lines] == [7] * 6 + [6] * 6
    assert rows(text.getvalue())["Total"][0] == "17350656"
    assert "…" not in text.getvalue()
    assert all(len(line) <= 80 for line in text.getvalue().splitlines())


NAMED = [*((name, "cifar") for name in catalog.EXAMPLES), ("resnet18", "imagenet")]


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "stem"), NAMED)
def test_the_network_whose_paths_are_searched_has_the_same_kernels(name, stem):
    about = {"model": name, "num_classes": 10, "image_shape": [32, 32, 3], "stem": stem}
    found = mask_report.network("a.npz", about, {}).params()
    expected = dense(name, stem=stem)
    shapes = [
        {path: kernel.shape for path, kernel in tree.kernels(own).items()}
        for own in (found, expected)
    ]
    assert shapes[0] == shapes[1]


def test_flags_come_before_the_metadata():
    given = {"model": "mlp_2_5", "image_shape": "2,2,1", "num_classes": None}
    own = mask_report.network("a.npz", ABOUT, given)
    shapes = {path: k.shape for path, k in tree.kernels(own.params()).items()}
    assert shapes == {
        "Dense_0/kernel": (4, 5),
        "Dense_1/kernel": (5, 5),
        "Dense_2/kernel": (5, 2),
    }


@pytest.mark.parametrize(("skip", "wanted"), [("yes", True), ("no", False), ("", True)])
def test_skips_may_be_left_out(skip, wanted):
    given = {"model": "resnet20", "image_shape": "8,8,1", "skip": skip}
    own = mask_report.network("a.npz", ABOUT, given)
    assert own.module.style.skip is wanted  # pyright: ignore


FLAGS = "--model=resnet20 --image_shape=32,32,3 --num_classes=10"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        (dict.fromkeys(ABOUT), f"model, image_shape and num_classes.*{FLAGS}"),
        ({"num_classes": None}, "the num_classes of.*example --num_classes=10"),
        ({"model": "mlp-1-3"}, "'.*a.npz': model is 'mlp-1-3'; it must be one of"),
        ({"num_classes": "2"}, "num_classes is '2'; it must be an integer"),
        ({"image_shape": [1, 0]}, r"image_shape is \[1, 0\]; it must be HEIGHT"),
        ({"image_shape": "1,two,1"}, "image_shape is '1,two,1'; it must be HEIGHT"),
        ({"image_shape": 3}, "image_shape is 3; it must be HEIGHT"),
        ({"stem": "cifer"}, "stem is 'cifer'.*Did you mean 'cifar'"),
        ({"skip": "maybe"}, "skip is 'maybe'; it must be yes or no"),
        ({"model": "mlp_1_4"}, r"a.npz' is not of the network.*must be \(2, 4\)"),
    ],
)
def test_what_is_not_known_of_a_network_is_refused(tmp_path, changes, wanted):
    path = saved(tmp_path / "a.npz", about=ABOUT | changes)
    with pytest.raises(UserError, match=wanted):
        shown(path)


def test_masks_of_another_network_are_refused(tmp_path):
    wider = {
        "Dense_0": {"kernel": jnp.ones((2, 4), bool)},
        "Dense_1": {"kernel": jnp.ones((4, 2), bool)},
    }
    other = saved(tmp_path / "b.npz", wider)
    wanted = r"b.npz' is of another network than .*a.npz': 'Dense_0/kernel' has"
    with pytest.raises(UserError, match=wanted):
        shown(saved(tmp_path / "a.npz"), other=other)


def test_the_command(command, tmp_path):
    path = saved(tmp_path / "a.npz", about={})
    flags = "--model=mlp_1_3", "--image_shape=1,2,1", "--num_classes=2"
    done = command("mask_report", path, *flags)
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout)["Total"] == ["12", "5", "41.67", "2", "3"]
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], "error: FILE is missing; give it after the name of the command.\n"),
        (["a.npz", "b.npz"], "error: 'b.npz' is no flag; flags start with --.\n"),
        (["nowhere.npz"], "error: there is no mask file 'nowhere.npz'.\n"),
    ],
)
def test_a_mistake_is_one_message(command, arguments, wanted):
    done = command("mask_report", *arguments)
    assert done.returncode == 2
    assert done.stderr == wanted
