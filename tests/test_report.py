"""`fastnn report`: one HTML page of a run, read as text and, where there is one, by a browser."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

import fastnn as fn
from fastnn import cli, io, metrics, nn, optim
from fastnn.report import report
from fastnn.train import Trainer, callbacks, job

pytestmark = pytest.mark.cpu_only("commands say their device themselves")

for _package in ("PIL", "matplotlib", "safetensors", "sklearn", "tqdm"):
    pytest.importorskip(_package)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    options = job.Options(model="mlp", hidden=(8,), epochs=3, device="cpu", out=str(folder))
    return job.train(options)


@pytest.fixture
def run(trained, tmp_path):
    """A run that a test may spoil."""
    return shutil.copytree(trained, tmp_path / "run")


def history(run):
    return json.loads((run / "history.json").read_text())


class Page(HTMLParser):
    """A page by its tags and texts; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.headings, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] != "style" and text.strip():
            self.texts.append(text.strip())
            if self.open[-1] == "h2":
                self.headings.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def after(self, text):
        return self.texts[self.texts.index(text) + 1]


def page(path):
    return Page(path.read_text(encoding="utf-8"))


# --- what the page has --------------------------------------------------------------------------


def test_the_page_of_a_run(run):
    path, missing = report(run)
    assert path == run / "report.html"
    assert missing == []
    got, record = page(path), history(run)
    best = next(row for row in record["epochs"] if row["epoch"] == record["best_epoch"])
    accuracy, n = record["test"]["accuracy"], record["test"]["examples"]
    low, high = metrics.proportion_interval(round(accuracy * n), n)
    assert got.after("Test accuracy") == f"{accuracy:.2%} ({low:.2%} to {high:.2%})"
    assert got.after("Validation accuracy") == f"{best['val_accuracy']:.2%}"
    assert got.after("Best epoch") == f"{record['best_epoch']:g} of 3"
    assert got.after("Parameters") == f"{64 * 8 + 8 + 80 + 10:,}"
    assert got.after("batch_size") == "64"
    assert got.headings == [
        *("Curves", "Mistakes", "Confusion matrix", "Layers", "Filters of the first layer"),
        *("Weights", "Epochs", "Options"),
    ]
    assert sum(attributes.get("class") == "best" for attributes in got.all("tr")) == 1
    assert f"{record['epochs'][0]['val_loss']:.4g}" in got.texts
    assert "Linear" in got.texts


def test_the_page_is_whole_in_itself(run):
    got = page(report(run)[0])
    pictures = got.all("img")
    assert len(pictures) == 2 + 3 + 2  # curves, pictures, weights of two layers
    assert all(re.match(r"data:image/(png|svg\+xml);base64,", p["src"]) for p in pictures)
    assert all(p["alt"] and int(p["width"]) and int(p["height"]) for p in pictures)
    assert got.all("script") == []
    assert got.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert not re.search(r"@import|url\(", (run / "report.html").read_text(encoding="utf-8"))
    names = {meta.get("name"): meta["content"] for meta in got.all("meta") if "content" in meta}
    assert names["viewport"] == "width=device-width, initial-scale=1"
    assert got.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in got.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_numbers_again(run, tmp_path):
    first = page(report(run)[0]).texts
    assert page(report(run, tmp_path / "other.html")[0]).texts == first


def test_texts_are_escaped(run):
    record = history(run)
    record["options"]["note"] = '<script>alert("1")</script> & more'
    record["epochs"][0]["<i>"] = "<b>"
    (run / "history.json").write_text(json.dumps(record))
    run = run.rename(run.with_name("<em>&run"))
    got = page(report(run)[0])
    assert got.all("script") == got.all("i") == got.all("b") == got.all("em") == []
    assert got.after("note") == '<script>alert("1")</script> & more'
    assert "<em>&run" in got.texts


def test_missing_values_are_dashes(tmp_path):
    rows = [{"epoch": 0.5, "loss": 1.0}, {"epoch": 1.0, "loss": float("nan"), "val_f1": 0.25}]
    (tmp_path / "history.json").write_text(json.dumps(rows))
    path, missing = report(tmp_path)
    assert len(missing) == 1
    assert "there is no model.json" in missing[0]
    got = page(path)
    start = got.texts.index("validation f1")
    assert got.texts[start + 1 : start + 7] == ["0.5", "1", "–", "1", "–", "0.25"]
    assert len(got.all("img")) == 1


def test_the_folder_of_a_checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((20, 4)).astype(np.float32), np.arange(20) % 2
    model = nn.Sequential(nn.Linear(4, 2))
    kept = [callbacks.Checkpoint(tmp_path), callbacks.NormLogger(1, tmp_path / "norms.json")]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), callbacks=kept)
    trainer.fit(data, data, 2)
    target, missing = report(tmp_path)
    text = target.read_text()
    for heading in ("Curves", "Gradients", "Weights", "Epochs"):
        assert f">{heading}</h2>" in text
    assert f"{trainer.history[-1]['val_accuracy']:.2%}" in text
    assert [note.split(":")[0] for note in missing] == ["layers, mistakes", "filters"]
    again = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), callbacks=kept)
    again.fit(data, data, 2, batch_size=5, max_steps=1)
    with pytest.raises(ValueError, match=r"last\.safetensors has no validation yet"):
        report(tmp_path)


def test_a_validation_set_may_have_any_name(tmp_path):
    row = {"epoch": 1, "loss": 2.0, "held out_loss": 0.5, "held out_accuracy": 0.75}
    (tmp_path / "history.json").write_text(json.dumps([row]))
    got = page(report(tmp_path)[0])
    assert got.after("Validation accuracy") == "75.00%"
    assert got.after("Validation loss") == "0.5"


def test_a_model_without_input_shape(tmp_path):
    io.save(fn.nn.Sequential(fn.nn.Linear(6, 2)), tmp_path)
    (tmp_path / "history.json").write_text('[{"epoch": 1, "loss": 2}]')
    assert report(tmp_path)[1][1:] == [
        "layers: model.json has no input_shape",
        "filters: no input_shape is known, for pictures of the linear 0.weight",
    ]


def test_an_interrupted_run_is_tested_now(run):
    record = history(run)
    expected = f"{record.pop('test')['accuracy']:.2%} ("
    (run / "history.json").write_text(json.dumps(record))
    assert page(report(run)[0]).after("Test accuracy").startswith(expected)


def test_a_data_set_that_is_gone_is_said(run, tmp_path, capsys):
    description = json.loads((run / "model.json").read_text())
    description["meta"] |= {"data": "mnist1d", "data_dir": str(tmp_path / "nowhere")}
    (run / "model.json").write_text(json.dumps(description))
    assert cli.main(["report", str(run), "--device", "cpu"]) == 0
    assert re.search(r"left out: mistakes, confusion .*nowhere", capsys.readouterr().err)
    got = page(run / "report.html")
    assert any("data set mnist1d cannot be read" in text for text in got.texts)
    assert "Confusion matrix" not in got.headings
    assert "Layers" in got.headings


@pytest.mark.parametrize("shape", [None, "abc", [3, 8], [3, 8, 8]])
def test_a_model_alone_has_weights(tmp_path, shape):
    model = fn.nn.Sequential(fn.nn.Conv2d(3, 4, 3), fn.nn.Linear(6, 2))
    io.save(model, tmp_path, {"input_shape": shape})
    (tmp_path / "history.json").write_text('[{"epoch": 1, "loss": 2}]')
    path, missing = report(tmp_path)
    left_out = ["mistakes, confusion matrix"] + ["layers"] * (shape != [3, 8, 8])
    assert [text.split(":")[0] for text in missing] == left_out
    assert len(page(path).all("img")) == 4


def test_the_command(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["report", str(run), "--out", str(out), "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    assert out.exists()
    assert not (run / "report.html").exists()


# --- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "history.json",
            None,
            r"no history\.json or last\.safetensors in .*run: it is not the folder of a run",
        ),
        ("history.json", '{"epochs": [', r"history\.json is corrupt or truncated"),
        ("history.json", b"\xff\xfe\x00", r"history\.json is corrupt or truncated"),
        ("history.json", "[]", r"has no 'epochs', a list of rows"),
        ("history.json", "3", r"has no 'epochs', a list of rows"),
        ("history.json", '[{"epoch": 1}, {"loss": 1}]', r"row 1 has no number 'epoch': {'loss'"),
        ("history.json", '[{"epoch": "1"}]', r"row 0 has no number 'epoch'"),
        (
            "history.json",
            '{"epochs": [{"epoch": 1}], "best_epoch": 2}',
            r"no row of 'best_epoch' 2",
        ),
        ("history.json", '{"epochs": [{"epoch": 1}], "test": 2}', r"'test' is no object: 2"),
        ("model.json", "{", r"model\.json is corrupt or truncated"),
        ("model.safetensors", "{", r"model\.safetensors is corrupt or truncated"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(run, capsys, file, content, message):
    (run / "report.html").write_text("the old page")
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cli.main(["report", str(run), "--device", "cpu"]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert (run / "report.html").read_text() == "the old page"


def test_places_that_are_none_are_refused(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\[report\] no folder .*nowhere"):
        report(tmp_path / "nowhere")
    for out in (tmp_path, tmp_path / "nowhere" / "page.html"):
        with pytest.raises(ValueError, match=r"\[report\] out must be a file in a folder"):
            report(run, out)


# --- in a browser -------------------------------------------------------------------------------

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    selenium = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = selenium.Chrome(options, selenium.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def wide(trained, tmp_path_factory):
    """A page with texts and tables wider than a phone."""
    run = shutil.copytree(trained, tmp_path_factory.mktemp("wide") / "run")
    record = history(run)
    record["options"]["long"] = "x" * 300
    record["epochs"] = [row | {f"metric_{i}": 0.5 for i in range(20)} for row in record["epochs"]]
    (run / "history.json").write_text(json.dumps(record))
    return report(run)[0]


def requests(browser, page):
    """The addresses that the page asked for, and none of the browser's own pages."""
    messages = (json.loads(e["message"])["message"] for e in browser.get_log("performance"))
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"] == page
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_in_a_browser(wide, browser, width, height, scheme):
    address = wide.as_uri()
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    requests(browser, address)  # of earlier visits
    browser.get(address)
    across, inner, pictures, paper = browser.execute_script(
        "return [document.scrollingElement.scrollWidth, innerWidth,"
        " [...document.images].map(i => i.complete && i.naturalWidth > 0),"
        " getComputedStyle(document.body).backgroundColor]"
    )
    assert inner == width
    assert across <= inner
    assert pictures == [True] * 7
    assert (max(map(int, re.findall(r"\d+", paper))) < 60) == (scheme == "dark")
    assert browser.get_log("browser") == []
    assert [url for url in requests(browser, address) if not url.startswith("data:image/")] == [
        address
    ]
