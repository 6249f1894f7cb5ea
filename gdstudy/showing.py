"""The end of a run: what is stored becomes figures, TensorBoard, results.csv, claims and a table on the terminal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from gdstudy.figures import redraw
from gdstudy.study.console import say, tell
from gdstudy.sweep.folder import CONFIG, write_whole
from gdstudy.sweep.reading import export_csv, load_run, shown_whole
from gdstudy.views.board import write_board
from gdstudy.views.claims import decide
from gdstudy.views.terminal import claims_csv, claims_markdown, claims_text, report

if TYPE_CHECKING:
    from gdstudy.study.seeds import Shard
    from gdstudy.sweep.store import Store


def show(store: Store, quiet: bool) -> None:
    """Figures, TensorBoard, results.csv, claims and the closing table of what is stored. For who holds the run."""
    if not quiet:
        tell("drawing figures, writing tables …")
    folder = store.run_dir

    def write(path: Path, content: bytes) -> None:
        store.check_place()  # before a folder is made
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)

    store.check_place()
    run = load_run(folder)
    with ThreadPoolExecutor(1) as beside:  # Arrow leaves Python to the figures
        table = beside.submit(export_csv, folder, run.results)
        images = redraw(folder, run)
        table.result()
    with shown_whole(folder):
        claims = decide(run)
        said = report(run, folder)
        markdown = claims_markdown(claims, "The claims of the paper, measured") if claims else ""
        texts = {"config": f"```yaml\n{(folder / CONFIG).read_text('utf-8')}\n```"}
        write_board(folder, texts | ({"claims": markdown} if claims else {}), run, images, write)
    if claims:
        write(folder / "claims.md", markdown.encode())
        write(folder / "claims.csv", claims_csv(claims).encode())
    if not quiet:
        if claims:
            say("\n" + claims_text(claims))
        say(said)


def said_of_shard(shard: Shard, stored: int, of: int, store: Store) -> str:
    """What is to be known once a shard is done (`Store.take_over`)."""
    said = f"shard {shard} is done: {stored} of {of} batches are stored in {store.run_dir}"
    if stored < of:
        return (
            f"{said}. Shards in one folder: the last to end draws the figures. In folders of their own: gdstudy merge "
            "NEW_DIR RUN_DIR… makes one run of them"
        )
    return said if store.shard is None else f"{said}; another process that writes there draws the figures"
