"""Whether a run of linear.yaml prints the numbers that README shows: `… | python tests/readme_numbers.py`.

X⁺y's to the digit, trained ones to 2 %: these depend a little on the processor where cells are cut off.
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def rows(text):
    """(data set, "20 = P") → the numbers of that row of a closing table."""
    found, dataset = {}, None
    for line in text.splitlines():
        if begins := re.match(r"(\w+)  \(P = \d+; medians over", line):
            dataset = begins[1]
        elif dataset and (row := re.match(r" *(\d+ [<=>] P) +(.*)", line)):
            words = row[2].replace(" to ", " ").split()
            found[dataset, row[1]] = [float(word.rstrip("%")) if word != "-" else None for word in words]
    return found


def differences(shown, printed):
    """What README shows otherwise than it was printed, in words."""
    said = [f"{key}: not printed" for key in shown.keys() - printed.keys()]
    for key in shown.keys() & printed.keys():
        if len(shown[key]) != len(printed[key]):
            said.append(f"{key}: {shown[key]} in README, {printed[key]} printed")
            continue
        for place, (a, b) in enumerate(zip(shown[key], printed[key], strict=True)):
            if a is None or b is None or place == 1:
                same = a == b
            else:  # a digit is 10 % of distances
                same = abs(a - b) <= max(0.02 * abs(a), 2 if place == 0 else 0) or (
                    abs(a) < 1e-6 and abs(a - b) < abs(a)
                )
            if not same:
                said.append(f"{key}, number {place + 1}: {a} in README, {b} printed")
    return said


def main():
    shown = rows(README.read_text())
    said = differences(shown, rows(sys.stdin.read()))
    if len(shown) != 6:
        said.append(f"README shows {len(shown)} rows of linear.yaml's table, not 6")
    sys.exit("README does not show what was printed:\n" + "\n".join(said) if said else 0)


if __name__ == "__main__":
    main()
