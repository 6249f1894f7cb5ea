import re

import pytest

from gdstudy.study.columns import ORDER, TABLES


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_described_once_each_and_in_one_sentence(table):
    names = [column.name for column in TABLES[table]]
    assert len(set(names)) == len(names)
    for column in TABLES[table]:
        assert re.fullmatch(r"[a-z_0-9]+", column.name)
        assert column.kind in ("text", "whole", "real", "array")
        assert column.label
        assert re.fullmatch(r"[A-Z].+\.", column.meaning), column.name
        assert not (column.unit and column.kind == "text")


def test_tables_share_their_keys_and_mean_the_same_by_them():
    known = {}
    for columns in TABLES.values():
        for column in columns:
            assert known.setdefault(column.name, column) == column
        names = [column.name for column in columns]
        assert set(ORDER) <= set(names)
        assert names[:12] == [column.name for column in TABLES["results"]][:12]
