"""Parts of a run as tests change them: what they hold, and what they say of themselves."""

import pyarrow as pa
import pyarrow.parquet as pq

from gdstudy import __version__
from gdstudy.sweep.machine import provenance
from gdstudy.sweep.parts import sealed
from gdstudy.sweep.reading import load_run, load_study
from gdstudy.sweep.run import load_datasets, run_missing
from gdstudy.sweep.store import Store


def parts(run, table="results"):
    """Paths of a run's parts of a table, batch by batch."""
    return sorted((run / "batches").glob(f"*.{table}.parquet"))


def rewrite(path, change=lambda table: table, **facts):
    """Write a part anew as if it had always been so: its checksums are right."""
    table = pq.read_table(path)
    metadata = {**table.schema.metadata, **{f"gdstudy.{k}".encode(): v.encode() for k, v in facts.items()}}
    changed = change(table.replace_schema_metadata(None)).replace_schema_metadata(metadata)
    pq.write_table(changed, path, compression="zstd", write_page_checksum=True)
    path.write_bytes(sealed(path.read_bytes()))


def column(name, values):
    """A change of one column: a value for all rows, or a function of the column as a list."""

    def change(table):
        field = table.schema.field(name)
        new = values(table[name].to_pylist()) if callable(values) else [values] * len(table)
        return table.set_column(table.schema.get_field_index(name), field, pa.array(new, field.type))

    return change


def finish(run, study=None, **made_by):
    """Compute what is missing of a run, as --resume does, without its figures; its tables."""
    study = study or load_study(run)
    store = Store(run, study, {**provenance(study, __version__), **made_by})
    try:
        run_missing(study, load_datasets(study), store, quiet=True)
    finally:
        store.close()
    return load_run(run)
