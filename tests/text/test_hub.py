import json
import re
import socket
import threading
import time

import pytest

from seqlrp.errors import CorpusError
from seqlrp.text import load_corpus


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No network, no proxy, an empty cache."""
    import datasets

    def connect(*args, **kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def reachable(monkeypatch):
    """A hub that answers; gives the addresses that were asked."""
    asked = []

    def connect(address, timeout):
        asked.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    return asked


def data_set(texts, labels=None):
    import datasets

    columns = {"text": texts} | ({"label": labels} if labels else {})
    return datasets.Dataset.from_dict(columns)


@pytest.fixture
def load_dataset(monkeypatch):
    """What `datasets.load_dataset` is to answer, and how it was called."""
    import datasets

    calls = []

    def answer_with(answer):
        def load(name, split=None):
            calls.append((name, split, datasets.config.HF_HUB_OFFLINE))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(datasets, "load_dataset", load)
        return calls

    return answer_with


def test_a_name_that_nobody_knows_is_refused_in_a_sentence():
    start = time.perf_counter()
    with pytest.raises(
        CorpusError,
        match=r"'revews' is no path that exists and no known corpus \(Did you mean 'reviews'\?\), "
        r"and the hub at https?://\S+ cannot be reached",
    ) as caught:
        load_corpus("revews")
    assert time.perf_counter() - start < 2
    assert "\n" not in str(caught.value)
    assert not re.search(r"\. [A-Z]", str(caught.value))


def test_a_hub_that_does_not_answer_is_waited_for_3_seconds_at_most(monkeypatch):
    released = threading.Event()

    def hang(*args, **kwargs):
        released.wait(20)  # a look-up of a name takes no time limit
        raise OSError

    monkeypatch.setattr(socket, "create_connection", hang)
    start = time.perf_counter()
    with pytest.raises(CorpusError, match="cannot be reached"):
        load_corpus("owner/name")
    released.set()
    assert 2.9 < time.perf_counter() - start < 4


def test_offline_mode_asks_nobody(monkeypatch):
    import datasets

    def connect(*args, **kwargs):
        pytest.fail("the hub was asked")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(CorpusError, match="cannot be reached"):
        load_corpus("owner/name")
    assert datasets.config.HF_HUB_OFFLINE is True


def test_a_data_set_of_the_hub_is_loaded(reachable, load_dataset):
    import datasets

    splits = {"test": data_set(["b"], [0]), "train": data_set(["a", "c"], [1, 0])}
    calls = load_dataset(datasets.DatasetDict(splits))
    loaded = load_corpus("owner/name")
    assert loaded.texts == ["a", "c"]
    assert loaded.labels.tolist() == [1, 0]
    assert calls == [("owner/name", None, False)]
    calls = load_dataset(data_set(["b"]))
    assert load_corpus("owner/name", split="test[:1]").texts == ["b"]
    assert calls[-1] == ("owner/name", "test[:1]", False)


def test_rows_that_were_selected_stay_selected(reachable, load_dataset):
    load_dataset(data_set(["a", "b", "c"]).select([2, 0]))
    assert load_corpus("name").texts == ["c", "a"]


def test_rows_without_a_text_are_left_out_with_a_warning(reachable, load_dataset):
    load_dataset(data_set(["a", "", None, " \n", "b"], [0, 1, 1, 0, 1]))
    with pytest.warns(UserWarning, match="'name' has 3 rows without a text: left out"):
        loaded = load_corpus("name")
    assert loaded.texts == ["a", "b"]
    assert loaded.labels.tolist() == [0, 1]


def test_splits_without_train_are_listed(reachable, load_dataset):
    import datasets

    load_dataset(datasets.DatasetDict({"x": data_set(["a"]), "y": data_set(["b"])}))
    with pytest.raises(CorpusError, match=r"has the splits 'x', 'y'\. Set split to one"):
        load_corpus("name")


def test_what_goes_wrong_on_the_hub_is_told_in_a_sentence(reachable, load_dataset):
    error = RuntimeError("outer")
    error.__cause__ = ValueError("No such dataset.\nTraceback: ...")
    load_dataset(error)
    with pytest.raises(
        CorpusError, match=r"Could not load 'name' from the hub: No such dataset\.$"
    ):
        load_corpus("name")


def test_the_proxy_is_asked_where_there_is_one(reachable, load_dataset, monkeypatch):
    load_dataset(data_set(["a"]))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example")
    load_corpus("name")
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.example:3128"})
    load_corpus("name")
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "proxy.example:3129"})
    load_corpus("name")
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "hub.example")
    load_corpus("name")
    assert reachable == [
        ("hub.example", 443),
        ("proxy.example", 3128),
        ("proxy.example", 3129),
        ("hub.example", 443),
    ]


def test_a_copy_is_used_where_the_hub_is_out_of_reach(tmp_path):
    """As `datasets` 2.19 to 5 lay out what they have downloaded."""
    import datasets

    folder = tmp_path / "cache" / "owner___name" / "default" / "0.0.0" / "1234"
    data_set(["a", "b"], [1, 0]).save_to_disk(tmp_path / "made")
    folder.mkdir(parents=True)
    (tmp_path / "made" / "data-00000-of-00001.arrow").rename(folder / "name-test.arrow")
    info = json.loads((tmp_path / "made" / "dataset_info.json").read_text())
    info |= {
        "builder_name": "parquet",
        "dataset_name": "name",
        "config_name": "default",
        "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
        "splits": {"test": {"name": "test", "num_bytes": 1, "num_examples": 2}},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    loaded = load_corpus("owner/name")
    assert loaded.texts == ["a", "b"]
    assert loaded.labels.tolist() == [1, 0]
    assert datasets.config.HF_HUB_OFFLINE is False
