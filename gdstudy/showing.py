"""What a run shows: TensorBoard while it goes on; at its end figures, tables, claims, a page and a closing table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gdstudy.figures import redraw
from gdstudy.report import PAGE, drawn_figures, short_name
from gdstudy.study.console import say, tell
from gdstudy.sweep.folder import CONFIG, SUMMARY, write_whole
from gdstudy.sweep.reading import export_csv, load_run, read_batch, shown_whole
from gdstudy.views.board import write_board
from gdstudy.views.claims import decide
from gdstudy.views.events import Write
from gdstudy.views.growing import Growing, append
from gdstudy.views.html import run_page
from gdstudy.views.live import Live
from gdstudy.views.quartiles import summarised
from gdstudy.views.terminal import claims_csv, claims_markdown, claims_text, report

if TYPE_CHECKING:
    from gdstudy.study.seeds import Shard
    from gdstudy.sweep.store import Store


def _writer(store: Store) -> Write:
    def write(path: Path, content: bytes) -> None:
        store.check_place()  # before a folder is made
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)

    return write


def live(store: Store, quiet: bool) -> Live | None:
    """Shows the run of a store in TensorBoard while it goes on; None for a shard, which has not all seeds of any N."""
    if store.shard is not None:
        return None
    files = Growing(_writer(store), append)
    read = partial(read_batch, store.batches)
    return Live(store.run_dir, store.study, store.planned(), files, read, (lambda line: None) if quiet else tell)


def show(store: Store, csv_rows: int, quiet: bool, begun: Growing | None = None) -> None:
    """Figures, TensorBoard, summary.csv, claims, report.html, results.csv if it has csv_rows rows at most, and the
    closing table.

    For who holds the run. begun: what TensorBoard's files hold already.
    """
    if not quiet:
        tell("drawing figures, writing tables …")
    folder, write = store.run_dir, _writer(store)
    store.check_place()
    run = load_run(folder)
    with ThreadPoolExecutor(1) as beside:  # Arrow and NumPy leave Python to the figures
        exported = beside.submit(export_csv, folder, run.results) if len(run.results) <= csv_rows else None
        summarising = beside.submit(summarised, run)
        images = redraw(folder, run, quiet)
        if exported:
            exported.result()
        else:
            _leave_out(folder, len(run.results), csv_rows, quiet)
    run.release()
    with shown_whole(folder):
        summary, claims = summarising.result(), decide(run)
        said = report(run, folder, "results.csv" if exported else "summary.csv")
        markdown = claims_markdown(claims, "The claims of the paper, measured") if claims else ""
        texts = {"config": f"```yaml\n{(folder / CONFIG).read_text('utf-8')}\n```"}
        if claims:
            write(folder / "claims.md", markdown.encode())
            write(folder / "claims.csv", claims_csv(claims).encode())
        run.release()
        write(folder / PAGE, run_page(short_name(folder), run, summary, claims, drawn_figures(folder)))
        run.release()
        write_board(folder, texts | ({"claims": markdown} if claims else {}), run, images, write, begun)
        run.release()
        # Last: where it is, the run is shown (`gdstudy runs`).
        write(folder / SUMMARY, summary.to_csv(index=False).encode())
    if not quiet:
        if claims:
            say("\n" + claims_text(claims))
        say(said)


def _leave_out(folder: Path, rows: int, csv_rows: int, quiet: bool) -> None:
    """No results.csv, and none of fewer batches either."""
    (folder / "results.csv").unlink(missing_ok=True)
    if csv_rows and not quiet:
        tell(
            f"results.csv is left out: {rows:,} rows are more than csv_rows={csv_rows:,}; in Python read what you need "
            f"with gdstudy.load_results({str(folder)!r}, columns=[…], estimator=…), or --resume it with "
            f"--csv_rows {rows}. Medians and quartiles of all rows are in summary.csv"
        )


def said_of_shard(shard: Shard, stored: int, of: int, store: Store) -> str:
    """What is to be known once a shard is done (`Store.take_over`)."""
    said = f"shard {shard} is done: {stored} of {of} batches are stored in {store.run_dir}"
    if stored < of:
        return (
            f"{said}. Shards in one folder: the last to end draws the figures. In folders of their own: gdstudy merge "
            "NEW_DIR RUN_DIR… makes one run of them"
        )
    return said if store.shard is None else f"{said}; another process that writes there draws the figures"
