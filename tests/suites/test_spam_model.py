"""The model that is shipped is made again out of the corpus, byte for byte, by contrib/spam.

The corpus is $POSTERN_CORPORA or ../shared/corpora: a folder with SOURCE/{ham,spam} in it, below
dev_pack or not, or spam-dev.tar.zst.
"""
import hashlib
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAIN = ROOT / "build/dev/bin/spam-train"
LISTS = ROOT / "contrib/spam/spam-in-lists"
SHIPPED = ROOT / "filters/spam.model"


def corpora():
    return pathlib.Path(os.environ.get("POSTERN_CORPORA", ROOT.parent / "shared/corpora"))


@pytest.fixture(scope="module", name="corpus")
def find_corpus(tmp_path_factory):
    home = corpora()
    for folder in (home, home / "dev_pack"):
        if (folder / "spamassassin/ham").is_dir():
            return folder
    packed = home / "spam-dev.tar.zst"
    if not packed.exists():
        pytest.skip(f"no corpus: neither folders nor spam-dev.tar.zst in {home} (POSTERN_CORPORA)")
    folder = tmp_path_factory.mktemp("corpus")
    subprocess.run(["tar", "--zstd", "-xf", packed, "-C", folder], check=True)
    return folder / "dev_pack"


def train(corpus, out, *options, spam=LISTS):
    return subprocess.run([TRAIN, *options, corpus, spam, out], check=True, text=True,
                          capture_output=True, timeout=600).stdout


def test_the_model_is_made_again(corpus, tmp_path):
    said = train(corpus, tmp_path / "a")
    train(corpus, tmp_path / "b")
    made = (tmp_path / "a").read_bytes()
    assert made == (tmp_path / "b").read_bytes()
    assert made == SHIPPED.read_bytes(), said
    assert 100_000 < len(made) < 200_000
    page = (ROOT / "contrib/spam/README.md").read_text()
    sums = re.findall(r"\b[0-9a-f]{64}\b", page)
    assert sums == [hashlib.sha256(made).hexdigest()]


def test_what_it_is_made_of_counts(corpus, tmp_path):
    """Another source, another model; phishing_pot is none of the model that is shipped."""
    plain = train(corpus, tmp_path / "plain")
    assert "phishing_pot" not in plain and "sisimai" not in plain
    ids = [line for line in LISTS.read_text().split("\n") if line and line[0] != "#"]
    assert f"{len(ids)} mails are spam" in plain
    said = train(corpus, tmp_path / "other", "--leave-out", "spamassassin",
                 "--also", "phishing_pot")
    assert "phishing_pot: 0 ham," in said and "spamassassin:" not in said
    assert (tmp_path / "other").read_bytes() != (tmp_path / "plain").read_bytes()


def test_what_is_not_there_is_said(tmp_path):
    asked = subprocess.run([TRAIN, tmp_path, LISTS, tmp_path / "out"], text=True,
                           capture_output=True, check=False)
    assert asked.returncode == 1 and "nothing in" in asked.stderr
    assert not (tmp_path / "out").exists()
    asked = subprocess.run([TRAIN, "--leave-out", "nobody", tmp_path, LISTS, tmp_path / "out"],
                           text=True, capture_output=True, check=False)
    assert asked.returncode == 2 and "nobody is no source" in asked.stderr
    assert subprocess.run([TRAIN], capture_output=True, check=False).returncode == 2
