"""Tiles cover a product, and their sums stay in registers."""

from hypothesis import given
from hypothesis import strategies as st

from gdstudy.training.llvm import LANES
from gdstudy.training.tiles import Tiling

WHOLE = st.integers(1, 300)


@given(depth=WHOLE, rows=WHOLE, k=st.integers(1, 40), sums=st.integers(1, 30), lanes=st.sampled_from([4, LANES]))
def test_tiles_cover_the_product_and_their_sums_stay_in_registers(depth, rows, k, sums, lanes):
    tiling = Tiling.of(depth, rows, k, sums, lanes)
    assert tiling.k >= k
    assert rows <= tiling.rows < rows + lanes  # no more padding than a vector's
    assert tiling.rows <= tiling.width < tiling.rows + LANES
    assert tiling.depth >= depth
    assert tiling.depth % tiling.chains == 0
    assert tiling.k - k < tiling.passes
    assert len({*tiling.vectors[:-1]}) <= 1  # all but the last are equal
    assert 0 < tiling.vectors[-1] <= tiling.vectors[0]
    held = max(tiling.vectors) * tiling.outputs * tiling.chains
    assert held * lanes <= sums * LANES or max(tiling.vectors) == 1
