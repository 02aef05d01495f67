"""What finished cells are asked for and did not keep: made again, or said.

Logs are made of the result rows, masks of saved networks. Networks come from training
alone.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sparse_gf import results
from sparse_gf.core import words
from sparse_gf.experiment import kinds, loggers, saved
from sparse_gf.specs import Cell, RunSpec


def complete(cells: Sequence[Cell], options: RunSpec, workdir: pathlib.Path) -> str:
    """Makes what finished cells lack and can be made of what they kept.

    Args:
        cells: Finished ones.
        options: What is asked for.
        workdir: Where they are.

    Returns:
        What is missing still, and how to have it; empty where nothing is.
    """
    wanted: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        _make(cell, options, workdir)
        for kind, is_there in _asked(cell, options, workdir):
            if not is_there:
                wanted.setdefault(kind, {})[cell.hash] = cell
    if not wanted:
        return ""
    names = sorted({name for found in wanted.values() for name in found})
    paths = [str(results.cell_path(workdir, name)) for name in names[:3]]
    more = f" and {len(names) - 3} others" if len(names) > 3 else ""
    return (
        f"{words.counted(len(names), 'finished cell')} did not keep "
        f"{', '.join(wanted)}, which only training makes. To have them, train again: "
        f"in another --workdir, or after removing {', '.join(paths)}{more}."
    )


def logs(cell: Cell, workdir: pathlib.Path) -> pathlib.Path:
    """The folder of a cell's logs."""
    return _folder(cell, workdir) / "logs"


def _folder(cell: Cell, workdir: pathlib.Path) -> pathlib.Path:
    return results.cell_folder(workdir, cell.info.name, cell.hash)


def _asked(
    cell: Cell, options: RunSpec, workdir: pathlib.Path
) -> Iterator[tuple[str, bool]]:
    """What is asked for of a finished cell, in words, and whether it is there."""
    folder = _folder(cell, workdir)
    if options.save_masks:
        yield "masks", any(folder.glob("masks/*.npz"))
    if options.save_networks:
        there = {path.stem.rpartition("_")[2] for path in folder.glob("networks/*.npz")}
        *before, last = map(str, kinds.job(cell, options).measured)
        yield "networks", last in there
        if options.save_networks == "measured":
            yield "networks of all measured epochs", there.issuperset(before)
    for log in options.logs:
        yield f"logs for {log}", (logs(cell, workdir) / log).is_dir()


def _make(cell: Cell, options: RunSpec, workdir: pathlib.Path) -> None:
    folder = _folder(cell, workdir)
    lacking = tuple(n for n in options.logs if not (folder / "logs" / n).is_dir())
    if lacking:
        _make_logs(cell, lacking, workdir)
    if options.save_masks and not any(folder.glob("masks/*.npz")):
        _make_masks(cell, options, folder)


def _make_logs(cell: Cell, names: tuple[str, ...], workdir: pathlib.Path) -> None:
    """Writes logs as training would have, of the rows."""
    rows = results.read_rows(workdir, cell.hash)
    made = loggers.Logs(names, logs(cell, workdir), 0)
    for row in rows:
        place = {key: row[key] for key in ("arm", "dense_width", "seed")}
        place |= _density(cell, row)
        network = saved.which(place | {"kind": cell.kind})
        own = json.loads(row.get(results.OWN) or "{}")
        for point, measured in enumerate(row["measurements"]):
            norms = zip(row["layers"], measured.pop("layer_norms2"), strict=True)
            del measured["layer_norms1"]
            epoch = measured.pop("epoch")
            scalars = {name: float(value) for name, value in measured.items()}
            scalars |= {name: values[point] for name, values in own.items()}
            scalars |= {f"layer_norms2/{layer}": norm for layer, norm in norms}
            made.write(network, json.loads(row["config"]) | place, epoch, scalars)
    made.close()
    loggers.tabulate(names, logs(cell, workdir), rows)


def _make_masks(cell: Cell, options: RunSpec, folder: pathlib.Path) -> None:
    """Takes masks out of the networks that were saved after training."""
    job = kinds.job(cell, options)
    for path in folder.glob(f"networks/*_epoch_{job.measured[-1]}.npz"):
        network = saved.load(path)
        model = job.recipe(network.params).model
        about = network.about | _density(cell, network.about)
        masks = saved.labelled(network, cell, model).masks
        saved.save_masks(folder, job, masks, about)


def _density(cell: Any, about: Mapping[str, Any]) -> dict[str, float]:
    """The density that was wanted of a network: whole weights may miss it."""
    if cell.kind == "capacity":
        return {}
    own = about["density"]
    return {"density": min(cell.mask.density or (own,), key=lambda d: abs(d - own))}
