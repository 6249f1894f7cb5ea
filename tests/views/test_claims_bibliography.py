import re

import pytest

from gdstudy.study.laws import LAWS
from gdstudy.views.claims import RULES, decide
from gdstudy.views.claims.bibliography import cited, read_works, reference, works
from gdstudy.views.terminal import claims_markdown

ENTRY = """@article{one1999,
  author = {Last, First and Other, A. B.},
  title = {A Title},
  journal = {A Journal 1 (2)},
  year = {1999},
  url = {https://example.org},
}
"""


def test_every_source_of_a_claim_or_a_law_is_a_work_and_every_work_is_used():
    keys = {key for rule in RULES for key in rule.source} | {law.source for law in LAWS.values()}
    assert keys == set(works())
    assert all(rule.source for rule in RULES)


def test_an_entry_is_read_and_cited_by_who_and_when():
    (work,) = read_works(f"% a comment\n\n{ENTRY}").values()
    assert work.authors == (("Last", "First"), ("Other", "A. B."))
    assert (work.title, work.venue, work.year) == ("A Title", "A Journal 1 (2)", "1999")
    assert work.short == "Last & Other 1999"
    (alone,) = read_works(ENTRY.replace(" and Other, A. B.", "")).values()
    assert alone.short == "Last 1999"
    (many,) = read_works(ENTRY.replace(" and Other", " and Third, C. and Other")).values()
    assert many.short == "Last et al. 1999"


@pytest.mark.parametrize(
    "broken",
    [
        ENTRY.replace("},\n}", "}\n}"),
        ENTRY.replace("{A Title}", '"A Title"'),
        ENTRY.replace("A Title", "A {T}itle"),
        ENTRY[:-2],
        "words\n" + ENTRY,
    ],
)
def test_what_is_no_entry_is_said_with_its_line(broken):
    with pytest.raises(ValueError, match=r"references\.bib, line \d+: not an entry"):
        read_works(ENTRY.replace("one1999", "fine") + broken)


def test_works_of_the_same_authors_and_year_are_told_apart():
    shorts = [cited(key) for key in works()]
    assert len(set(shorts)) == len(shorts)
    assert {"Schaeffer et al. 2023a", "Schaeffer et al. 2023b", "Hastie et al. 2022"} <= set(shorts)


def test_claims_end_with_the_works_they_stand_on_and_no_others(autoencoder_run):
    claims = decide(autoencoder_run("bottleneck"))
    markdown = claims_markdown(claims, "t")
    body, _, list_of_works = markdown.partition("\n## References\n\n")
    assert list_of_works.splitlines() == [f"- {reference(k)}" for k in ("schaeffer2023", "baldi1989", "saxe2014")]
    assert "(Baldi & Hornik 1989)" in body
    assert "(Schaeffer et al. 2023a, App. C (1), Eqn. 1)" in body
    assert all(re.search(r"<https://\S+>$", line) for line in list_of_works.splitlines())


def test_a_law_stands_on_a_work_of_the_bibliography():
    assert {law.source for law in LAWS.values()} <= set(works())
