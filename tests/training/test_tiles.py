"""Tiles cover a product, and their sums stay in registers."""

from hypothesis import given
from hypothesis import strategies as st

from gdstudy.training.llvm import LANES
from gdstudy.training.tiles import Tiling

WHOLE = st.integers(1, 300)


@given(depth=WHOLE, rows=WHOLE, k=st.integers(1, 40), sums=st.integers(1, 30))
def test_tiles_cover_the_product_and_their_sums_stay_in_registers(depth, rows, k, sums):
    tiling = Tiling.of(depth, rows, k, sums)
    assert tiling.k >= k
    assert tiling.width >= rows
    assert tiling.depth >= depth
    assert tiling.depth % tiling.chains == 0
    assert tiling.width - rows < LANES * tiling.tiles  # less than one vector a tile is padding
    assert tiling.k - k < tiling.passes
    held = tiling.vectors * tiling.outputs * tiling.chains
    assert held <= sums or tiling.vectors == 1
