"""What a run leaves and says when its last batch is stored: figures, TensorBoard, tables, claims, the closing table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gdstudy.study.console import say, tell
from gdstudy.sweep.folder import CONFIG, write_whole


def close_run(folder: Path, csv_rows: int, quiet: bool) -> None:
    """Figures, TensorBoard, summary.csv, claims, results.csv if it has csv_rows rows at most, and the closing table."""
    if not quiet:
        tell("drawing figures, writing tables …")
    from gdstudy.figures import redraw
    from gdstudy.sweep.reading import export_csv, load_run
    from gdstudy.views.board import write_board
    from gdstudy.views.claims import decide
    from gdstudy.views.quartiles import summarised
    from gdstudy.views.terminal import claims_csv, claims_markdown, claims_text, report

    run = load_run(folder)
    with ThreadPoolExecutor(1) as beside:  # Arrow leaves Python to the figures
        exported = beside.submit(export_csv, folder, run.results) if len(run.results) <= csv_rows else None
        images = redraw(folder, run)
        if exported:
            exported.result()
        else:
            _leave_out(folder, len(run.results), csv_rows, quiet)
    run.release()
    write_whole(folder / "summary.csv", summarised(run).to_csv(index=False).encode())
    claims = decide(run)
    markdown = claims_markdown(claims, "The claims of the paper, measured") if claims else ""
    texts = {"config": f"```yaml\n{(folder / CONFIG).read_text('utf-8')}\n```"} | (
        {"claims": markdown} if claims else {}
    )
    run.release()
    write_board(folder, texts, run, images)
    run.release()
    if claims:
        write_whole(folder / "claims.md", markdown.encode())
        write_whole(folder / "claims.csv", claims_csv(claims).encode())
    if not quiet:
        if claims:
            say("\n" + claims_text(claims))
        say(report(run, folder, "results.csv" if exported else "summary.csv"))


def _leave_out(folder: Path, rows: int, csv_rows: int, quiet: bool) -> None:
    """No results.csv, and none of fewer batches either."""
    (folder / "results.csv").unlink(missing_ok=True)
    if csv_rows and not quiet:
        tell(
            f"results.csv is left out: {rows:,} rows are more than csv_rows={csv_rows:,}; in Python read what you need "
            f"with gdstudy.load_results({str(folder)!r}, columns=[…], estimator=…), or raise csv_rows in {CONFIG} and "
            "--resume. Medians and quartiles of all rows are in summary.csv"
        )
