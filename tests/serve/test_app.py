"""The JSON interface: the same numbers as in Python, limits, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from samples.classifiers import WORDS, small_classifier, some_texts

import seqlrp
from seqlrp.errors import TargetError
from seqlrp.evaluation.removal import scores_without
from seqlrp.serve.batches import SharedBatches

TEXTS = some_texts(12)
TEXT = "a good film. not a dull plot"


def test_explanations_are_those_of_python(client) -> None:
    expected = seqlrp.explain(small_classifier(), TEXTS, target="positive")
    answer = client.post("/explain", {"texts": TEXTS, "target": "positive"})
    assert answer.status == 200
    found = answer.json()
    assert found["labels"] == ["negative", "positive"]
    assert found["method"] == "lrp"
    for one, truth in zip(found["explanations"], expected, strict=True):
        values = [word["relevance"] for word in one["words"]]
        np.testing.assert_allclose(sum(values), truth.relevance.sum(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one["probabilities"], truth.probabilities, rtol=1e-5)
        for word in one["words"]:
            tokens = " ".join(truth.tokens[t] for t in word["tokens"])
            assert one["text"][word["start"] : word["end"]] == tokens
        assert [t for word in one["words"] for t in word["tokens"]] == list(
            range(len(truth.tokens))
        )


def test_the_method_that_was_chosen_is_offered(client, serving) -> None:
    assert "chosen" not in client.get("/model").json()["methods"]
    answer = client.post("/explain", {"texts": [TEXT], "method": "chosen"})
    assert answer.status == 422
    other = serving(small_classifier().with_chosen({"method": "lrp", "epsilon": 0.1}))
    assert other.get("/model").json()["methods"][-1] == "chosen"
    found = other.post("/explain", {"texts": [TEXT], "method": "chosen"}).json()
    assert (found["method"], found["parameters"][:10]) == ("lrp", "epsilon = ")


def test_a_pair_and_sentences(client) -> None:
    asked = {"texts": [TEXT], "target": "positive", "against": "negative", "method": "occlusion"}
    found = client.post("/explain", asked).json()["explanations"][0]
    assert (found["target"], found["against"]) == ("positive", "negative")
    assert [TEXT[s["start"] : s["end"]] for s in found["sentences"]] == [
        "a good film.",
        "not a dull plot",
    ]


@pytest.mark.parametrize("removal", ["zero", "delete", "unk"])
def test_predictions_without_words(client, removal) -> None:
    removed = [[0, 2], [], [1]]
    texts = [TEXT, "a good film", "bad plot"]
    answer = client.post("/predict", {"texts": texts, "removed": removed, "removal": removal})
    classifier = small_classifier()
    places = [np.array(tokens, np.int64) for tokens in removed]
    truth = scores_without(classifier, list(classifier.encode(texts)), places, removal)
    found = [p["scores"] for p in answer.json()["predictions"]]
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)


def test_requests_that_wait_share_a_batch_and_fail_alone(client) -> None:
    asked = [("/explain", {"texts": [text]}) for text in TEXTS]
    asked.insert(3, ("/explain", {"texts": [""]}))
    answers = client.post_together(asked)
    assert [answer.status for answer in answers] == [200] * 3 + [422] + [200] * 9
    del answers[3]
    for text, answer in zip(TEXTS, answers, strict=True):
        alone = client.post("/explain", {"texts": [text]}).json()
        together = answer.json()["explanations"][0]["words"]
        for one, other in zip(together, alone["explanations"][0]["words"], strict=True):
            assert one["relevance"] == pytest.approx(other["relevance"], rel=1e-4, abs=1e-6)


def test_what_waits_together_is_one_run() -> None:
    import threading

    runs = []
    begun, go_on = threading.Event(), threading.Event()

    def run(kind, items):
        runs.append((kind, list(items)))
        begun.set()
        go_on.wait(10)
        return [ValueError(item) if item == "bad" else item.upper() for item in items]

    batches = SharedBatches(run, waiting=10)
    first = batches.submit("k", "a")
    begun.wait(10)
    later = [batches.submit("k", "b"), batches.submit("other", "c"), batches.submit("k", "bad")]
    given_up = batches.submit("k", "never")
    given_up.cancel()
    go_on.set()
    assert first.result(10) == "A"
    assert later[0].result(10) == "B"
    with pytest.raises(ValueError, match="bad"):
        later[2].result(10)
    batches.close()
    assert runs == [("k", ["a"]), ("k", ["b", "bad"]), ("other", ["c"])]


def test_curves_begin_with_the_whole_text_and_end_with_none_of_it(client) -> None:
    asked = {"text": TEXT, "methods": ["lrp", "occlusion"], "most": 100}
    found = client.post("/curves", asked).json()
    names = [curve["name"] for curve in found["curves"]]
    assert names == ["lrp", "occlusion", "chance"]
    whole = client.post("/explain", {"texts": [TEXT]}).json()
    c = whole["labels"].index(found["label"])
    none = client.post("/predict", {"texts": [TEXT], "removed": [list(range(7))]}).json()
    for curve in found["curves"]:
        assert len(curve["values"]) == 8
        assert curve["values"][0] == pytest.approx(
            whole["explanations"][0]["probabilities"][c], rel=1e-5
        )
        assert curve["values"][-1] == pytest.approx(
            none["predictions"][0]["probabilities"][c], rel=1e-5
        )


def undecided_classifier() -> seqlrp.TextClassifier:
    """A classifier that gives half of `TEXTS` either label."""
    classifier = small_classifier()
    scores = classifier.predict(TEXTS).scores
    lead = np.median(scores[:, 1] - scores[:, 0])
    head = [m for m in classifier.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    head.bias = torch.nn.Parameter(torch.tensor([0.0, -float(lead)]))
    return classifier


def test_few_words_that_change_the_answer(serving) -> None:
    client, changed = serving(undecided_classifier()), 0
    for text in TEXTS:
        found = client.post("/change", {"text": text, "removal": "unk"}).json()
        tokens = [t for word in found["words"] for t in word["tokens"]]
        asked = {"texts": [text], "removed": [tokens], "removal": "unk"}
        after = client.post("/predict", asked).json()["predictions"][0]
        assert after["predicted"] == found["after"]["predicted"]
        assert found["changed"] == (found["before"]["predicted"] != after["predicted"])
        changed += found["changed"]
    assert changed


def test_two_models_and_a_corpus(serving) -> None:
    client = serving(
        None, small_classifier(labels=("down", "up")), names=("a", "b"), examples=["x y"]
    )
    offered = client.get("/model").json()
    assert [model["name"] for model in offered["models"]] == ["a", "b"]
    assert client.post("/explain", {"texts": [TEXT], "model": 1}).json()["labels"] == ["down", "up"]
    assert client.get("/example/0").json() == {"text": "x y"}
    assert client.get("/example/1").status == 404


def test_pages_and_pictures(client) -> None:
    asked = {"texts": [TEXT], "title": "<b>"}
    page = client.post("/page", asked).body.decode()
    assert "<title>&lt;b&gt;</title>" in page
    titled = client.post("/page", {"texts": [TEXT], "target": "positive"}).body.decode()
    assert f"<title>Why positive: {TEXT}</title>" in titled
    picture = client.post("/picture", {"texts": [TEXT]})
    assert picture.body.startswith(b"\x89PNG")


def test_what_was_tried_is_answered_and_kept(client) -> None:
    struck = [{"start": 2, "end": 6}]
    replaced = [{"start": 17, "end": 18, "was": "one"}]
    asked = {
        "texts": [TEXT], "edited": [{"struck": struck, "replaced": replaced}], "removal": "unk"
    }  # fmt: skip
    found = client.post("/explain", asked).json()["explanations"][0]
    assert found["edited"]["struck_words"] == ["good"]
    without = client.post("/predict", {"texts": [TEXT], "removed": [[1]], "removal": "unk"})
    assert found["edited"]["without"]["scores"] == pytest.approx(
        without.json()["predictions"][0]["scores"], rel=1e-5
    )
    before = client.post("/predict", {"texts": [TEXT[:17] + "one" + TEXT[18:]]}).json()
    assert found["edited"]["before"]["scores"] == pytest.approx(
        before["predictions"][0]["scores"], rel=1e-5
    )
    page = client.post("/page", asked).body.decode()
    assert "Without “good” (made unknown) the model answers" in page
    assert "Replaced: “a” for “one”. Before that the model answered" in page
    assert page.count("</u></s>") == page.count("</u></ins>") == 1
    plain = client.post("/picture", {"texts": [TEXT]}).body
    assert client.post("/picture", asked).body != plain
    asked["edited"][0]["replaced"] = [{"start": 90, "end": 91, "was": ""}]
    assert client.post("/explain", asked).status == 422


def test_tokens_that_the_vocabulary_lacks_are_named(client) -> None:
    found = client.post("/explain", {"texts": ["a blorf good xqzt"]}).json()["explanations"][0]
    assert found["unknown"] == [1, 3]
    page = client.post("/page", {"texts": ["a blorf good xqzt"]}).body.decode()
    assert "The model does not know 2 of the 4 words: “blorf”, “xqzt”." in page


def test_examples_that_are_answered_differently_are_offered(serving) -> None:
    classifier = undecided_classifier()
    answers = classifier.predict(TEXTS).scores.argmax(1)
    same = [text for text, answer in zip(TEXTS, answers, strict=True) if answer == answers[0]]
    other = [text for text, answer in zip(TEXTS, answers, strict=True) if answer != answers[0]]
    offered = serving(classifier, examples=[*same, other[0]]).get("/model").json()["offered"]
    assert len(offered) == 3
    assert len(same) in offered


@pytest.mark.parametrize(("path", "body", "status", "says"), [
    ("/explain", {"texts": []}, 422, "texts"),
    ("/explain", {"texts": "a"}, 422, "texts"),
    ("/explain", {"texts": ["a"], "more": 1}, 422, "more"),
    ("/explain", {"texts": ["a"], "model": 1}, 422, "one model"),
    ("/explain", {"texts": ["a"] * 65}, 413, "64"),
    ("/explain", {"texts": ["good " * 60]}, 413, "at most 50"),
    ("/explain", {"texts": ["a"], "method": "lrpp"}, 422, "lrp"),
    ("/explain", {"texts": ["a"], "target": "neutral"}, 422, "labels are 'negative', 'positive'"),
    ("/explain", {"texts": ["a"], "target": "positive", "against": "positive"}, 422, "Both sides"),
    ("/explain", {"texts": [" "]}, 422, "no word"),
    ("/predict", {"texts": ["a"], "removed": [[1]]}, 422, "0 to 0"),
    ("/predict", {"texts": ["a"], "removed": [[-1]]}, 422, "greater"),
    ("/predict", {"texts": ["a"], "removed": [[0]], "removal": "delete"}, 422, "no score"),
    ("/predict", {"texts": ["a"], "removed": []}, 422, "lists"),
    ("/predict", b"[" * 5000, 400, ""),
    ("/predict", b"{", 422, ""),
    ("/predict", b"\xff\xfe", 422, ""),
    ("/nothing", {}, 404, "Not Found"),
])  # fmt: skip
def test_what_is_wrong_is_a_sentence(serving, path, body, status, says) -> None:
    answer = serving(words=50).post(path, body)
    assert answer.status == status, answer.body
    found = answer.json()
    assert says in found["error"]
    assert set(found) == {"error", "code", "text"}


def test_a_class_that_is_called_predicted_is_not_mistaken_for_the_predicted_one(serving) -> None:
    with pytest.raises(TargetError, match="another name"):
        serving(small_classifier(labels=("negative", "predicted")))


def test_the_text_of_a_batch_that_is_at_fault_is_named(serving) -> None:
    client = serving(words=50)
    texts = ["a good film", " ", "good " * 60]
    for path in ("/explain", "/predict"):
        found = client.post(path, {"texts": texts[:2]}).json()
        assert found["text"] == 1
        assert found["error"].startswith("Text 1 of 2, counted from 0: ")
        assert client.post(path, {"texts": texts[::2]}).json()["text"] == 1
        alone = client.post(path, {"texts": texts[1:2]}).json()
        assert (alone["text"], alone["error"]) == (0, "The text holds no word.")
    predicted = client.post("/predict", {"texts": texts[:1]}).json()["predictions"][0]["predicted"]
    found = client.post("/explain", {"texts": texts[:1], "against": predicted}).json()
    assert found["error"].startswith("The class to compare with is the one that the model predicts")
    asked = {"texts": texts[:1] * 2, "target": "neutral"}  # not the fault of a text
    assert client.post("/explain", asked).json()["text"] is None


def test_surrogates_and_odd_characters(client) -> None:
    for text in (r'"\ud800 good"', r'"\u0000 good \u202e"', '"𝒳 good 👩‍👩‍👧"'):
        answer = client.post("/explain", b'{"texts": [' + text.encode() + b"]}")
        assert answer.status == 200
        assert answer.json()["explanations"][0]["words"]


def test_an_answer_that_takes_too_long(serving) -> None:
    classifier = small_classifier()
    forward = classifier.model.forward

    def slow(*arguments):
        torch.manual_seed(0)
        import time

        time.sleep(0.2)
        return forward(*arguments)

    client = serving(classifier, seconds=0.05)
    classifier.model.forward = slow
    answer = client.post("/predict", {"texts": ["a"]})
    assert answer.status == 503
    assert answer.json()["code"] == "slow"


def test_a_model_that_gives_no_finite_score(serving) -> None:
    classifier = small_classifier()
    client = serving(classifier)
    with torch.no_grad():
        next(classifier.model.parameters()).fill_(float("nan"))
    for path in ("/predict", "/explain"):
        answer = client.post(path, {"texts": ["a " + WORDS[1]]})
        assert answer.status == 422


def test_the_model_has_answered_before_the_first_request(serving, monkeypatch) -> None:
    """Kernels are loaded when the application is made, not while somebody waits."""
    from seqlrp.serve.live_model import LiveModel

    kinds = []
    run = LiveModel._run

    def noted(self, kind, items):
        kinds.append(type(kind).__name__)
        return run(self, kind, items)

    monkeypatch.setattr(LiveModel, "_run", noted)
    serving()
    assert kinds == ["Scored", "Explained"]


def test_methods_have_names_for_readers(client) -> None:
    offered = client.get("/model").json()
    names = dict(zip(offered["methods"], offered["titles"], strict=True))
    assert names["lrp"] == "LRP"
    assert names["class_activation"] == "class activation"
