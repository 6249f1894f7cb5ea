"""report.html: a run, or two side by side, as one page that needs no network, no server and no other file."""

from __future__ import annotations

from gdstudy.views.html.comparison import comparison_page
from gdstudy.views.html.run_page import NUMBERS, run_page

__all__ = ["NUMBERS", "comparison_page", "run_page"]
