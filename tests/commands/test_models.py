"""`dmlcli models`: the history of models, the way back to one of them, and what decides between two."""

import json
import shutil
from pathlib import Path

import pytest

from dmlcli import encoder, held_out_scores, indexes, model_history, model_switch
from dmlcli.embeddings import open_embeddings
from dmlcli.model import open_model
from dmlcli.workspace import Workspace
from tests.commands.test_train_safety import Train, report_of, train, workspace  # noqa: F401 (fixtures)
from tests.conftest import SAMPLE, Cli, make_shop, place

HEAD = ["--tune", "head", "--epochs", 1, "--for", "seen"]  # in which a head is better than the frozen backbone


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Ten products of the sample catalog."""
    for number, folder in enumerate(sorted((SAMPLE / "catalog").glob("*/*"))[::5][:10]):
        shutil.copytree(folder, tmp_path / "shop" / f"product-{number:02}")
    return tmp_path / "shop"


@pytest.fixture
def two(train: Train) -> list[str]:  # noqa: F811
    """The fingerprints of two models, the current one last."""
    return [report_of(train(*HEAD, "--dim", dim))["fingerprint"] for dim in (8, 6)]


class Answers(list[list[str]]):
    """Lines of TSV, which are equal if nothing but the last digits of their scores differs."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Answers)
        if [line[:2] + line[3:] for line in self] != [line[:2] + line[3:] for line in other]:
            return False
        return all(abs(float(a[2]) - float(b[2])) < 1e-5 for a, b in zip(self, other, strict=True))

    def __ne__(self, other: object) -> bool:
        return not self == other


def answers(cli: Cli, shop: Path, place: Path) -> Answers:
    found = cli("query", *sorted(shop.glob("*/1.jpg")), "-w", place, "--format", "tsv")
    assert found.code == 0, found.err
    return rows_of(found.out)


def rows_of(text: str) -> Answers:
    return Answers(line.split("\t") for line in text.splitlines())


def test_a_model_is_used_again_and_back_with_the_same_answers_and_without_photos(
    two: list[str],
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = two
    asked = shutil.copytree(shop, tmp_path / "asked")
    before = answers(cli, asked, workspace)
    monkeypatch.setattr(encoder.Encoder, "embed_catalog", lambda *_, **__: pytest.fail("photos were embedded"))
    report = report_of(cli("models", "use", first[:6], "-w", workspace, "--format", "json"))
    assert (report["fingerprint"], report["replaced"], report["index"]) == (first, second, "rebuilt")
    assert (report["images"], report["embedded"]) == (80, 0)
    assert indexes.open_index(workspace / "index").model == first == open_model(workspace / "model").record.fingerprint
    assert answers(cli, asked, workspace) != before
    assert cli("models", "use", second, "-w", workspace).code == 0
    assert answers(cli, asked, workspace) == before
    assert sorted(path.name for path in (workspace / "embedded").iterdir()) == [first]


def test_photos_that_came_since_are_embedded_and_one_that_is_gone_changes_nothing(
    two: list[str],
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
) -> None:
    new = shop / "product-00" / "new.jpg"
    shutil.copy(next((SAMPLE / "queries").rglob("*.jpg")), new)
    assert cli("index", shop, "-w", workspace, "--update").code == 0
    data = new.read_bytes()
    new.unlink()
    found = cli("models", "use", two[0], "-w", workspace)
    assert found.code == 4 and "1 of 81 indexed images cannot be read" in found.err and "new.jpg" in found.err
    assert open_model(workspace / "model").record.fingerprint == two[1] == indexes.open_index(workspace / "index").model
    new.write_bytes(data)
    report = report_of(cli("models", "use", two[0], "-w", workspace, "--format", "json"))
    assert (report["images"], report["embedded"]) == (81, 1)


@pytest.mark.parametrize("moment", ["embeddings saved", "index built"])
def test_killed_at_any_moment_queries_are_answered_and_a_second_try_completes(
    two: list[str],
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    old = answers(cli, shop, workspace)
    with monkeypatch.context() as patch:
        patch.setattr(*((indexes, "build") if moment == "embeddings saved" else (model_history, "place")), killed)
        with pytest.raises(KeyboardInterrupt):
            model_switch.use(open_model(workspace / "models" / two[0]), Workspace(workspace))
    now = answers(cli, shop, workspace)
    assert (now == old) == (moment == "embeddings saved")
    assert cli("models", "use", two[0], "-w", workspace).code == 0
    assert open_embeddings(workspace / "embeddings").model == two[0]
    assert open_model(workspace / "model").record.fingerprint == two[0]
    assert indexes.open_index(workspace / "index").model == two[0]


def test_an_index_of_other_embeddings_is_left_alone(
    two: list[str],
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
) -> None:
    shutil.rmtree(shop / "product-09")
    assert cli("embed", shop, "-w", workspace, "--prune").code == 0  # the embeddings are not what is indexed now
    before = answers(cli, shop, workspace)
    found = cli("models", "use", two[0], "-w", workspace, "--format", "json")
    assert report_of(found)["index"] == "other model"
    after = cli("query", *sorted(shop.glob("*/1.jpg")), "-w", workspace, "--format", "tsv")
    assert rows_of(after.out) == before and "has been replaced" in after.err


def test_the_list_names_both_and_says_which_is_current(two: list[str], cli: Cli, workspace: Path) -> None:  # noqa: F811
    rows = report_of(cli("models", "-w", workspace, "--format", "json"))["models"]
    assert [(row["fingerprint"], row["current"], row["indexed"], row["embedded"]) for row in rows] == [
        (two[1], True, True, True),
        (two[0], False, False, True),
    ]
    assert all(row["catalog"].endswith("shop") and row["run"] and row["score"] is not None for row in rows)
    found = cli("models", "-w", workspace)
    assert f"models -w {workspace} use {two[0][:8]}" in found.err and "current" in found.out


def test_two_models_are_compared_on_what_was_held_out_from_both_or_on_given_queries(
    two: list[str],
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    report = report_of(cli("models", "diff", two[0], "-w", workspace, "--format", "json"))
    assert (report["first"], report["second"]) == (two[0], two[1])
    rows = {(row["search"], row["metric"]): row for row in report["scores"]}
    assert {search for search, _ in rows} == {"seen"} and report["queries"] > 0
    for name, fingerprint in (("first", two[0]), ("second", two[1])):
        record = open_model(workspace / "models" / fingerprint).record
        chosen = {search: one["chosen"] for search, one in record.scores["searches"].items()}
        assert {search: rows[search, "map@r"][name] for search in chosen} == pytest.approx(chosen)
    queries = tmp_path / "queries"
    for product in shop.iterdir():
        place(queries / product.name, "other.jpg", data=(product / "1.jpg").read_bytes())
    given = report_of(cli("models", "diff", *two, "--queries", queries, "-w", workspace, "--format", "json"))
    scores = {row["metric"]: row for row in given["scores"]}
    assert given["queries"] == 10 and scores["recall@1"]["first"] == scores["recall@1"]["second"] == 1.0
    common = ["--queries", queries, "--model", workspace / "models" / two[0], "--format", "json"]
    alone = json.loads(cli("eval", shop, *common, "-w", workspace).out)
    assert scores["map@r"]["first"] == pytest.approx(alone["metrics"]["map@r"])
    assert cli("models", "diff", two[0], two[0], "-w", workspace).code == 2


def test_models_of_different_catalogs_are_not_compared_without_queries(
    train: Train,  # noqa: F811
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    first = report_of(train(*HEAD, "--no-index"))["fingerprint"]
    other = make_shop(tmp_path / "other", products=9, images=4)
    second = report_of(train("--no-index", catalog=other))["fingerprint"]
    found = cli("models", "diff", first, second, "-w", workspace)
    assert found.code == 4 and "validated on different photos" in found.err and "--queries" in found.err
    (workspace / "models" / first / "held_out.json").unlink()
    assert "no scores of held-out photos" in cli("models", "diff", first, second, "-w", workspace).err


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["usee", "a"], "use"),
        (["use"], "takes 1 model"),
        (["diff", "a", "b", "c"], "takes 1 or 2 models"),
        (["use", "zz"], "no model begins with 'zz'"),
        (["use", ""], "no model begins with ''"),
        (["list", "--queries", "x"], "--queries has no effect"),
    ],
)
def test_mistakes_are_named(line: list[str], hint: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    found = cli("models", *line, "-w", tmp_path / "w")
    assert found.code == 2 and hint in found.err


def test_keep_if_better_asks_the_held_out_photos(
    train: Train,  # noqa: F811
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
) -> None:
    """The scores that are kept of the current model are changed, so that no new one or every new one is better."""
    first = report_of(train(*HEAD, "--dim", 8, "--keep-if-better"))
    assert first["decision"]["switched"] and first["decision"]["reason"] == "there was no model before"
    current, before = workspace / "model", answers(cli, shop, workspace)
    _set(current, 1.0)
    kept = report_of(train(*HEAD, "--dim", 4, "--keep-if-better", code=1))
    assert not kept["decision"]["switched"] and kept["decision"]["current"] == first["fingerprint"]
    assert all(row["second"] == 1 for row in kept["decision"]["scores"] if row["metric"] == "map@r")
    assert open_model(current).record.fingerprint == first["fingerprint"] and answers(cli, shop, workspace) == before
    assert (workspace / "models" / kept["fingerprint"]).is_dir() and kept["index"] is None
    _set(current, 0.0)
    used = report_of(train(*HEAD, "--dim", 6, "--keep-if-better"))
    assert used["decision"]["switched"] and "+" in used["decision"]["reason"]
    assert open_model(current).record.fingerprint == used["fingerprint"] != first["fingerprint"]
    assert used["chosen"] == "frozen backbone"  # so that nothing has to be fitted again
    (current / "held_out.json").unlink()
    scored = report_of(train(*HEAD, "--dim", 8, "--keep-if-better"))["decision"]
    assert scored["scores"][0]["second"] == pytest.approx(used["frozen_score"]) and "scored again" in scored["reason"]


def test_keep_if_better_fits_the_current_model_again_where_the_catalog_has_changed(
    train: Train,  # noqa: F811
    cli: Cli,
    shop: Path,
    workspace: Path,  # noqa: F811
) -> None:
    lda = ("--tune", "auto", "--epochs", 1, "--views", 2, "--for", "seen")
    first = report_of(train(*lda))
    assert first["chosen"].startswith("LDA head"), first["chosen"]
    for number, folder in enumerate(sorted((SAMPLE / "catalog").glob("*/*"))[1::5][:2]):
        shutil.copytree(folder, shop / f"more-{number:02}")
    network = ("--backbone", "descriptor", *lda)
    found = cli("train", shop, "-w", workspace, "--format", "json", *network, "--keep-if-better")
    decision = json.loads(found.out)["decision"]
    assert found.code == (0 if decision["switched"] else 1) and decision["current"] == first["fingerprint"]
    assert "the current model was scored again" in decision["reason"]
    (row,) = [row for row in decision["scores"] if row["metric"] == "map@r"]
    assert row["search"] == "seen" and 0 < row["second"] <= 1
    assert decision["switched"] == (row["difference"] > 0)  # of one search: no other can be significantly lower
    (workspace / "model" / "fitted.json").unlink()
    shutil.rmtree(shop / "more-00")
    undecided = report_of(train(*lda, "--keep-if-better", code=1))
    assert "they were validated on different photos" in undecided["decision"]["reason"]
    assert "the photos that it was fitted on are not known" in undecided["decision"]["reason"]


def _set(folder: Path, value: float) -> None:
    searches = held_out_scores.read(folder)
    for one in searches:
        one.scores["map@r"] = [value] * len(one.products)
    held_out_scores.write(folder, searches)
