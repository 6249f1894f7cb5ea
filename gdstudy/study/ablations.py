"""The ablations a study can ask for, as facts: each takes one factor of Eqn. 1 away, or makes it worse."""

from __future__ import annotations

from dataclasses import dataclass

from gdstudy.study.entries import Code


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """apply: the code `(Problem, level) -> Problem`. retrains: the training problem changes, not the test rows alone.
    has_levels: it has strengths. weakest_last: the strongest level is the smallest. question, of_gd: the titles of its
    figures, of X⁺y and of what was trained. level: the axis of its levels, with its unit. exact: what it leaves of the
    spike is nothing but rounding."""

    name: str
    apply: Code
    question: str
    of_gd: str
    level: str = ""
    retrains: bool = True
    has_levels: bool = True
    weakest_last: bool = False
    exact: bool = False


_FACTORS = "gdstudy.closed_form.factors:"
UNABLATED: tuple[str, float | None] = ("none", None)
ABLATIONS: dict[str, Ablation] = {
    ablation.name: ablation
    for ablation in (
        Ablation(
            name="singular_value_cutoff",
            apply=f"{_FACTORS}singular_value_cutoff",
            question="Does the divergence go when small singular values are removed?",
            of_gd="Does the divergence of trained GD go when small singular values are removed?",
            level="cutoff of σ (units of X)",
        ),
        Ablation(
            name="leading_modes",
            apply=f"{_FACTORS}leading_modes",
            question="Does the divergence go when test features lie in the leading training modes?",
            of_gd="Does the divergence of trained GD go when test features lie in the leading modes?",
            level="leading modes kept (number)",
            retrains=False,
            weakest_last=True,
        ),
        Ablation(
            name="no_residuals",
            apply=f"{_FACTORS}no_residuals",
            question="Does the divergence go when the targets have no residuals?",
            of_gd="Does the divergence of trained GD go when the targets have no residuals?",
            has_levels=False,
            exact=True,
        ),
        Ablation(
            name="adversarial_test",
            apply=f"{_FACTORS}adversarial_test",
            question="How much worse are test rows moved along the weakest training direction?",
            of_gd="How much worse are test rows moved along the weakest direction for trained GD?",
            level="shift along v_R (units of X)",
            retrains=False,
        ),
        Ablation(
            name="adversarial_train",
            apply=f"{_FACTORS}adversarial_train",
            question="How much worse are training targets moved along the weakest direction?",
            of_gd="How much worse are training targets moved along the weakest direction for trained GD?",
            level="shift along u_R (units of y)",
        ),
    )
}
