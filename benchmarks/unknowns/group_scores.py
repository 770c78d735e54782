"""How well groups agree with the people: purity, completeness, and BCubed."""

from collections import Counter
from collections.abc import Hashable, Sequence


def group_scores(people: Sequence[Hashable], groups: Sequence[Hashable]) -> dict[str, float]:
    """Compare the groups of visits with the people whose they are.

    Purity: the share of visits in whose group most are of one person, that one. Completeness: the
    same with people and groups exchanged. BCubed precision and recall (Bagga and Baldwin, 1998):
    the mean over visits of the share of its group that is of its person, and of its person that is
    in its group; F is their harmonic mean.

    Args:
        people: of each visit.
        groups: of each visit.

    Raises:
        ValueError: there is no visit.
    """
    number = len(people)
    if not number:
        raise ValueError("there is no visit to compare")
    both = Counter(zip(people, groups, strict=True))
    of_person, of_group = Counter(people), Counter(groups)
    purest: Counter[Hashable] = Counter()
    largest: Counter[Hashable] = Counter()
    precision = recall = 0.0
    for (person, group), count in both.items():
        purest[group] = max(purest[group], count)
        largest[person] = max(largest[person], count)
        precision += count * count / of_group[group]
        recall += count * count / of_person[person]
    precision, recall = precision / number, recall / number
    return {
        "purity": purest.total() / number,
        "completeness": largest.total() / number,
        "bcubed_precision": precision,
        "bcubed_recall": recall,
        "bcubed_f": 2 * precision * recall / (precision + recall),
    }
