"""Which LDA head is chosen: the best that harms neither search; and the folds that are kept for a run to resume."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dmlcli.learn.networks.heads import HeadSpec
from dmlcli.learn.networks.lda import HEAD_PARAMS, HeadParams
from dmlcli.learn.validation import head_selection as module
from dmlcli.learn.validation.head_selection import FoldScores, HeadScores, choose

SHARP, MILD, POOR = HEAD_PARAMS[0], HEAD_PARAMS[17], HEAD_PARAMS[30]


def fold(*names: str) -> Any:
    """A fold of which only the names of its searches are looked at."""
    return SimpleNamespace(validation=SimpleNamespace(searches=SimpleNamespace(names=list(names))))


def chosen(monkeypatch: pytest.MonkeyPatch, tried: dict[HeadParams, dict[str, float]], **frozen: float) -> HeadParams:
    found = [HeadScores(head_params, scores, 0.5) for head_params, scores in tried.items()]
    monkeypatch.setattr(module, "_try_all", lambda *_: found)
    return choose([fold(*frozen)] * 2, HeadSpec("linear", 8), [frozen] * 2).head_params


def test_a_setting_below_the_frozen_backbone_in_one_search_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its geometric mean is the best by far."""
    tried = {
        SHARP: {"seen": 0.9, "unseen": 0.39},
        MILD: {"seen": 0.5, "unseen": 0.45},
        POOR: {"seen": 0.4, "unseen": 0.41},
    }
    assert chosen(monkeypatch, tried, seen=0.3, unseen=0.4) == MILD
    assert chosen(monkeypatch, tried, seen=0.3, unseen=0.3) == SHARP
    assert chosen(monkeypatch, tried, seen=0.3, unseen=0.39) == SHARP  # equal is not below


def test_where_every_setting_is_below_it_the_best_is_named_for_the_caller_to_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = {SHARP: {"seen": 0.9, "unseen": 0.39}, MILD: {"seen": 0.5, "unseen": 0.39}}
    assert chosen(monkeypatch, tried, seen=0.3, unseen=0.4) == SHARP


def test_folds_that_are_done_are_not_computed_again(tmp_path: Path) -> None:
    file, names, asked = tmp_path / "folds.json", ["seen", "unseen"], []

    def computed(number: int) -> list[HeadScores]:
        asked.append(number)
        return [
            HeadScores(SHARP, {"seen": 0.1 + number, "unseen": 1 / 3}, None),
            HeadScores(MILD, {"seen": 0.5, "unseen": 0.2}, 0.7),
        ]

    first = FoldScores(file)
    kept = [first.get_or_compute(number, names, lambda number=number: computed(number)) for number in range(2)]  # type: ignore
    again = FoldScores(file)
    assert [again.get_or_compute(number, names, lambda number=number: computed(number)) for number in range(2)] == kept  # type: ignore
    assert asked == [0, 1]
    again.get_or_compute(2, names, lambda: computed(2))
    assert asked == [0, 1, 2] and FoldScores(file).get_or_compute(2, names, list) == computed(2)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"folds": 3}', '{"folds": [[[[1, 2, 3], {"seen": 1}, null]]]}'])
def test_folds_that_are_damaged_are_computed_again(tmp_path: Path, text: str) -> None:
    file = tmp_path / "folds.json"
    file.write_text(text)
    found = [HeadScores(SHARP, {"seen": 0.5}, None)]
    assert FoldScores(file).get_or_compute(0, ["seen"], lambda: found) == found


def test_folds_of_other_searches_are_computed_again(tmp_path: Path) -> None:
    file, found = tmp_path / "folds.json", [HeadScores(SHARP, {"unseen": 0.5}, None)]
    FoldScores(file).get_or_compute(0, ["seen"], lambda: [HeadScores(SHARP, {"seen": 0.5}, None)])
    assert FoldScores(file).get_or_compute(0, ["unseen"], lambda: found) == found
