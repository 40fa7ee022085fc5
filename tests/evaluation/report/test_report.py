"""What an evaluation says: numbers, tables, pictures and files, for people and for programs."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from samples.evaluations import labelled, lively_classifier

import seqlrp
from seqlrp import EvaluationReport
from seqlrp.errors import OptionError, SavedFileError
from seqlrp.evaluation import Quantity
from seqlrp.evaluation.report.files import write_rows
from seqlrp.lrp.options import DEFAULT_EPSILON

MADE = {
    "seed": 0,
    "options": {"removal": "zero", "random_orders": 3},
    "versions": {"seqlrp": "1"},
    "documents": 200,
    "left_out": 2,
    "min_words": 10,
}


def made_up(steeper: float, documents: int = 200, name: str = "lrp") -> EvaluationReport:
    drawn = np.random.default_rng(1)
    rows = [
        (d, method, order, "accuracy", "right", float(k),
         float(k == 0 or drawn.random() < 0.9 - drop))
        for method, drop, orders in ((name, steeper, 1), ("random", 0.0, 3))
        for order in range(orders)
        for d in range(documents)
        for k in range(4)
    ]  # fmt: skip
    columns = ["document", "method", "order", "metric", "direction", "k", "value"]
    quantities = {"accuracy": Quantity("accuracy", "by direction", "What is right. (Nobody 1900)")}
    seconds = {name: 0.001, "random": float("nan")}
    return EvaluationReport(pd.DataFrame(rows, columns=columns), quantities, seconds, MADE)


def test_the_interval_finds_a_difference_and_does_not_invent_one() -> None:
    (steep,) = made_up(0.3).advantage().itertuples()
    assert steep.difference == pytest.approx(0.3, abs=0.06)
    assert steep.low > 0.2
    assert steep.low < steep.difference < steep.high
    assert steep.p == steep.p_holm < 0.001
    assert steep.d_z > 0.8
    assert 0.8 < steep.rank_biserial <= 1
    (none,) = made_up(0.0).advantage().itertuples()
    assert none.low < 0 < none.high
    assert none.p > 0.05
    curves = made_up(0.3).curves("accuracy").set_index(["method", "k"])
    at_two = curves.loc[("lrp", 2)]
    # the textbook interval of a proportion
    half = 1.96 * np.sqrt(at_two["value"] * (1 - at_two["value"]) / 200)
    assert at_two["high"] - at_two["low"] == pytest.approx(2 * half, rel=0.15)
    mean = made_up(0.3).table.query("method == 'lrp' and k > 0")["value"].mean()
    assert made_up(0.3).results.set_index("method").loc["lrp", "value"] == pytest.approx(mean)


def test_documents_are_paired_by_their_number() -> None:
    report = made_up(0.3, documents=30)
    moved = report.table.copy()
    lrp = moved["method"] == "lrp"
    moved = moved[~(lrp & (moved["document"] == 0))]  # a document that one of them lacks
    fewer = EvaluationReport(moved, report.quantities, report.seconds, MADE)
    (row,) = fewer.advantage().itertuples()
    assert row.documents == 29
    kept = report.table[report.table["document"] > 0]
    without = EvaluationReport(kept, report.quantities, report.seconds, MADE)
    (expected,) = without.advantage().itertuples()
    assert row.difference == pytest.approx(expected.difference)
    assert fewer.results.set_index("method")["missing"].to_dict() == {"lrp": 1, "random": 0}


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    texts, labels = labelled(16)
    methods = {"lrp": "lrp", "mine | <b>_x_ & 100 % $y$": "sensitivity", "random": "random"}
    return seqlrp.evaluate(lively_classifier(), texts, labels, methods, ks=(1, 2), random_orders=2)


def test_everything_is_written_and_read_again(report: EvaluationReport, tmp_path: Path) -> None:
    paths = report.save(tmp_path / "new")
    assert {p.name for p in paths} == {p.name for p in (tmp_path / "new").iterdir()}
    for source in (tmp_path / "new", paths[0]):
        again = EvaluationReport.load(source)
        pd.testing.assert_frame_equal(again.table, report.table)
        assert again.quantities == report.quantities
        assert again.seconds == pytest.approx(report.seconds)
        assert again.made == report.made
        assert again.summary() == report.summary()
        assert again.to_csv() == report.to_csv()
    curves = pd.read_csv(tmp_path / "new" / "curves.csv")
    assert set(curves["method"]) == set(report.methods)
    for name in ("curves.png", "results.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")
    assert report.made["seed"] == 0
    assert set(report.made["versions"]) >= {"seqlrp", "torch", "numpy", "python"}
    assert report.made["metrics"]["word_deletion"] == {"ks": [0, 1, 2], "score": "probability"}
    assert report.made["methods"]["lrp"]["parameters"]["epsilon"] == DEFAULT_EPSILON


def test_what_was_not_saved_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SavedFileError, match="is not a file"):
        EvaluationReport.load(tmp_path)
    foreign = tmp_path / "evaluation.parquet"
    foreign.write_bytes(b"nothing")
    with pytest.raises(SavedFileError, match="was not written by an evaluation"):
        EvaluationReport.load(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(foreign)
    with pytest.raises(SavedFileError, match="was not written by an evaluation"):
        EvaluationReport.load(foreign)
    write_rows(foreign, pd.DataFrame({"a": [1]}), {})
    with pytest.raises(SavedFileError, match=r"columns \['a'\]; expected"):
        EvaluationReport.load(foreign)
    write_rows(foreign, made_up(0.1, 2).table, {"seconds": {}})
    with pytest.raises(SavedFileError, match="does not say how it was made"):
        EvaluationReport.load(foreign)


def test_the_summary_explains_itself(report: EvaluationReport) -> None:
    text = report.summary()
    for part in (
        "Explanations of 16 texts by 3 methods",
        "'random' ranks words by chance (2 orders)",
        "texts classified correctly, most relevant words first",
        "Accuracy after word deletion, k = 1, 2 words",
        "Comprehensiveness, k = 1, 5, 10, 20, 50 %",
        "Arras et al. 2017",
        "DeYoung et al. 2020",
        "better than random by",
        "Higher is better.",
        "Lower is better.",
        "Time to explain a text",
        "With 16 texts intervals are too narrow.",
    ):
        assert part in " ".join(text.split()), part
    assert max(len(line) for line in text.splitlines()) < 120
    for row in report.results.to_dict("records"):
        assert f"{row['value']:.3f}  [{row['low']:.3f}, {row['high']:.3f}]" in text
    hostile = made_up(0.3, 20, name="red\x1b[31m\n").summary()
    assert "\x1b" not in hostile
    assert "red\\x1b[31m\\n" in hostile
    assert "(2 shorter than 10 words left out)" in " ".join(hostile.split())


def test_tables_escape_what_is_special(report: EvaluationReport) -> None:
    markdown = report.to_markdown()
    head, rule, *rows = markdown.splitlines()
    assert r"mine \| \<b\>\_x\_ &amp; 100 % \$y\$" in head
    bars = rule.count("|")
    table = [row for row in rows if row.startswith("|")]
    assert len(table) == len(report.results) / 3 + 1
    for row in [head, *table]:
        assert row.replace(r"\|", "").count("|") == bars == 5
    latex = report.to_latex()
    assert r"mine | \textless{}b\textgreater{}\_x\_ \& 100 \% \$y\$" in latex
    assert latex.count("{") == latex.count("}")
    body = latex.split("\\midrule")[1]
    for line in body.strip().splitlines():
        assert line.replace(r"\&", "").count("&") == 3
        assert line.endswith(r"\\")
    first = report.results.iloc[0]
    assert f"{first['value']:.3f} [{first['low']:.3f}, {first['high']:.3f}]" in latex
    assert "time a text, ms" in markdown
    frame = report.to_pandas()
    assert list(frame.columns) == list(report.methods)
    assert len(frame) == len(table)
    # An arrow is bound to its heading.
    assert any("\u00a0↓" in title for title in frame.index)
    assert not any(" ↓" in title or " ↑" in title for title in frame.index)
    assert frame.iloc[0][first["method"]] == (
        f"{first['value']:.3f} [{first['low']:.3f}, {first['high']:.3f}]"
    )
    assert frame.index[-1] == "time a text, ms"
    rows_of_csv = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows_of_csv) == len(report.results)
    for row, expected in zip(rows_of_csv, report.results.to_dict("records"), strict=True):
        assert row["method"] == expected["method"]
        assert float(row["value"]) == pytest.approx(expected["value"])
        assert bool(row["p_holm"]) == (row["method"] != "random")
        assert float(row["milliseconds_per_text"]) > 0


def test_pictures_show_what_the_tables_say(report: EvaluationReport) -> None:
    figure = report.plot(["deletion_accuracy"])
    assert [ax.get_title().splitlines()[0] for ax in figure.axes] == [
        "accuracy after word deletion"
    ] * 2
    right = report.curves().query("direction == 'right'")
    for line, method in zip(figure.axes[0].lines, report.methods, strict=True):
        expected = right[right["method"] == method]
        np.testing.assert_allclose(line.get_xydata(), expected[["k", "value"]])
    every = report.plot()
    assert len(every.axes) == 2 + 2 + 1 + 1 + 1 + 1
    bars = report.plot_results()
    assert len(bars.axes) == 2 + 2 + 3 + 1 + 1
    widths = [bar.get_width() for bar in bars.axes[0].patches]
    assert widths == pytest.approx(report.results["value"][:3].tolist())
    bars.draw_without_rendering()  # "$y$" is no formula
    every.draw_without_rendering()
    own = Figure().add_subplot()
    assert report.plot_curve("sufficiency", ax=own) is own
    assert len(own.lines) == 3
    wrong = report.plot_curve(direction="wrong")
    assert "classified wrongly" in wrong.get_title()
    assert len(wrong.get_legend().get_texts()) == 3
    assert wrong._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="Got direction='all'"):
        report.plot_curve(direction="all")
    with pytest.raises(OptionError, match="'abpc' has no curve over k"):
        report.plot_curve("abpc")
    with pytest.raises(OptionError, match="no metric 'deletion'"):
        report.plot(["deletion"])


def test_the_legend_of_many_methods_does_not_lie_on_the_curves() -> None:
    few, one = made_up(0.3), made_up(0.3).table
    assert few.plot().axes[0].get_legend() is not None
    names = ["lrp", "occlusion", "deeplift", "integrated_gradients", "random"]
    table = pd.concat([one[one["method"] == "lrp"].assign(method=name) for name in names])
    many = EvaluationReport(table, few.quantities, dict.fromkeys(names, 0.001), MADE).plot()
    renderer = FigureCanvasAgg(many).get_renderer()
    many.draw_without_rendering()
    (legend,) = many.legends
    assert all(ax.get_legend() is None for ax in many.axes)
    assert [text.get_text() for text in legend.get_texts()] == [
        *("LRP", "occlusion", "DeepLIFT", "integrated gradients", "random order")
    ]
    below = legend.get_window_extent(renderer)
    assert not any(below.overlaps(ax.get_tightbbox(renderer)) for ax in many.axes)
    assert below.x0 >= 0


def test_a_legend_is_as_wide_as_its_figure_at_most() -> None:
    """Also of all methods there are, whose names are long, and which all look different."""
    one = made_up(0.3, documents=4).table
    names = [f"a_method_with_a_long_name_{k}" for k in range(30)]
    table = pd.concat([one[one["method"] == "lrp"].assign(method=name) for name in names])
    quantities = made_up(0.3, 4).quantities
    figure = EvaluationReport(table, quantities, dict.fromkeys(names, 0.001), MADE).plot()
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent(renderer)
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 30
