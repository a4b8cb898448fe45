"""The spam filter on mails whose truth is known, beside those that people use, in one run.

    spam [--pack FILE] [--dates FILE] [--quick] [--sample N] [--alone] [--roc FILE.png]
         [--throwaway MODEL]

Streams: the whole pack; SpamAssassin's corpus alone; lists and phishing alone, of which a single
header field tells one from the other, so that their figures say little. Of each, in the order of
time: `online`, each mail judged, then taught; `60/40`, the first 60 % of ham and of spam taught,
the rest judged, and `folders`, taught all that ham, then all that spam; `day one`, nothing taught.
What is slow is asked about a fixed sample of the rest.

The model that ships was made of SpamAssassin's corpus and the lists: it may not help where they are
judged. SpamAssassin's corpus is judged with one that was made without it, the others with none.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from bench import figure
from lab import proc
import spam_measure as measure
import spam_peers as peers
import spam_picture as picture

PACK = proc.REPOSITORY / "../shared/corpora/spam-dev.tar.zst"
SOURCES = {
    "all": None,
    "spamassassin": ("spamassassin",),
    "lists and phishing": ("list_cbl", "list_hams", "list_openbmc", "phishing_pot"),
}
MODES = ("day one", "online", "60/40", "folders")
SPAM_IN_LISTS = proc.REPOSITORY / "contrib/spam/spam-in-lists"
TEST_S = 600
TAUGHT_MOST = 1500  # of each kind, for those that learn slowly, evenly over time
NONE = "none"


def options(words):
    parser = argparse.ArgumentParser(prog="spam")
    parser.add_argument("--pack", type=pathlib.Path, default=PACK)
    parser.add_argument("--dates", type=pathlib.Path, help="label, id, date of each mail, as TSV")
    parser.add_argument("--sample", type=int, default=300,
                        help="of each kind, for slow filters; 0: they are not asked")
    parser.add_argument("--throwaway", type=pathlib.Path,
                        help="a model that was made without SpamAssassin's corpus; else one is")
    parser.add_argument("--alone", action="store_true", help="no other filter")
    parser.add_argument("--quick", action="store_true", help="every 20th mail, samples of 20")
    parser.add_argument("--roc", type=pathlib.Path, default=proc.build_dir() / "spam-roc.png")
    chosen = parser.parse_args(words)
    chosen.dates = chosen.dates or chosen.pack.with_name(chosen.pack.name.split(".")[0] + ".tsv")
    if chosen.quick:
        chosen.sample = min(chosen.sample, 20)
    return chosen


class Mail:
    """id: its path in the pack."""

    def __init__(self, one, path, spam):
        self.id, self.path, self.spam = one, path, spam


# --- the corpus

def unpack(chosen):
    """Where the pack's sources are. With --quick what is not asked about is taken away."""
    folder = proc.LAB / "spam"
    folder.mkdir()
    proc.run("tar", "-C", folder, "-xf", chosen.pack, timeout=TEST_S)
    inside = [one for one in folder.iterdir() if one.is_dir()]
    folder = inside[0] if len(inside) == 1 else folder
    if chosen.quick:
        for kind in sorted(folder.glob("*/*")):
            for number, mail in enumerate(sorted(kind.iterdir())):
                if number % 20:
                    mail.unlink()
    return folder


def stream_folder(pack, name, sources):
    """A corpus of those sources alone, by links."""
    folder = proc.LAB / "streams" / name.replace(" ", "-")
    folder.mkdir(parents=True)
    for one in sorted(pack.iterdir()):
        if one.is_dir() and (sources is None or one.name in sources):
            (folder / one.name).symlink_to(one)
    return folder


def id_of(path):
    """"spamassassin/ham/0020.eml" of a path anywhere."""
    return "/".join(pathlib.PurePath(path).parts[-3:])


# --- ours

def run_ours(folder, chosen, *words):
    """({mode: Judged}, mails in order of time, the JSON) of `postern spam test`."""
    rows = proc.LAB / "rows.tsv"
    out = proc.run(proc.build_dir() / "bin/postern", "spam", "test", "--json", "--rows", rows,
                   "--dates", chosen.dates, *words, folder, timeout=TEST_S).stdout
    told = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    scores, probabilities, mails = {}, {}, {}
    with open(rows, encoding="utf-8", errors="replace") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            one, spam = id_of(row["path"]), row["label"] == "spam"
            scores.setdefault(row["mode"], {})[one] = float(row["sum"]), spam
            probabilities.setdefault(row["mode"], []).append(
                (float(row["sum"]), float(row["probability"])))
            mails.setdefault(one, Mail(one, row["path"], spam))
    found = {}
    for mode, each in scores.items():
        at = {f"{level:g}": max((s for s, p in probabilities[mode] if p <= level),
                                default=float("-inf")) for level in measure.LEVELS}
        found[mode] = measure.Judged(f"Postern, {mode}", each, at)
    wrong = [text for one in told["modes"] if one["mode"] in found
             for text in measure.check(found[one["mode"]], one)]
    if wrong or not found:
        raise proc.LabError("what postern spam test tells is not what its rows say\n"
                            + "\n".join(wrong))
    return found, list(mails.values()), told


def print_bins(told):
    for mode in told["modes"]:
        if mode["mode"] not in ("day one", "online") or "calibration" not in mode:
            continue
        print(f"\ncalibration, Postern, {mode['mode']}"
              f"{', later half' if mode['mode'] == 'online' else ''}: range, mails, expected, spam")
        for number, one in enumerate(mode["calibration"]):
            print(f"  {number / 10:.1f} to {(number + 1) / 10:.1f} {one['mails']:7}"
                  f"{measure.percent(one['expected'], digits=1):>8}"
                  f"{measure.percent(one['spam'], digits=1):>8}")


# --- one stream

def sample(mails, most):
    """At most so many of each kind, evenly over time."""
    found = []
    for spam in (False, True):
        kind = [mail for mail in mails if mail.spam is spam]
        step = max(1, len(kind) / most) if most else 1
        found += [kind[int(i * step)] for i in range(min(most, len(kind)))]
    return found


def compare(name, ours, theirs):
    """The ratios of the two that learn everything from the stream."""
    for what, mine, other, better in (
            ("1-ROCAC", ours.above(), theirs.above(), "less"),
            ("spam caught at 0.1 % of ham lost", ours.caught(0.001), theirs.caught(0.001), "more")):
        if mine is None or other is None:
            continue
        ratio = f"{mine / other:.3f} times" if other else "beside"
        met = mine < other if better == "less" else mine > other
        print(f"{name}: {what}: {measure.percent(mine, digits=4)} %, {ratio} bogofilter's "
              f"{measure.percent(other, digits=4)} %: {'better' if met else 'NOT better'}")
        figure(f"spam, {name}, {what}", f"{measure.percent(mine, digits=4)} %",
               f"bogofilter, same mails, same run: {measure.percent(other, digits=4)} %")


class Stream:
    """One stream: what ours says of it in all modes; the others' when they have been asked."""

    def __init__(self, name, folder, chosen, model):
        self.name, self.folder, self.model = name, folder, model
        words = [word for mode in MODES for word in ("--mode", mode.replace(" ", "-"))]
        self.found, self.mails, self.told = run_ours(folder, chosen, *words, "--parts",
                                                     "--model", model)
        later = self.found["60/40"].scores
        self.later = [mail for mail in self.mails if mail.id in later]
        self.taught = [mail for mail in self.mails if mail.id not in later]
        self.online, self.split, self.slow = None, None, []

    def ask_bogofilter(self, bogofilter):
        def ask(what, how):
            return measure.Judged(f"bogofilter, {what}", peers.timed(
                f"{self.name}: bogofilter, {what}", how), bogofilter.levels)
        self.online = ask("online", lambda: bogofilter.online(self.mails))
        self.split = ask("60/40", lambda: bogofilter.batch(self.taught, self.later))

    def ask_slow(self, most):
        """SpamAssassin and Rspamd, on a sample of what comes later, untaught and taught."""
        asked = sample(self.later, most)
        wanted = {mail.id for mail in sample(self.taught, TAUGHT_MOST)}
        taught = [mail for mail in self.taught if mail.id in wanted]
        for kind in (peers.Assassin, peers.Rspamds):
            for told in ([], taught):
                peer = kind(told)
                self.slow.append(measure.Judged(peer.name, peers.timed(
                    f"{self.name}: {peer.name}", lambda one=peer: one.judge(asked)), peer.levels))
                if peer.refused:
                    print(f"  {peer.name}: {peer.refused} of {len(told)} mails were not learned: "
                          "stock settings learn none that are judged right already")

    def with_what(self):
        return "no shipped model" if self.model == NONE else "a model made without it"

    def drawn(self):
        curves = [self.found["online"], self.online, self.found["60/40"], self.split,
                  self.found["day one"], *self.slow]
        return [one for one in curves if one is not None]

    def report(self):
        found, told, name = self.found, self.told, self.name
        print(f"\n== {name}, {self.with_what()}: {told['mails']} mails in {told['seconds']:.1f} s, "
              f"{told['cpu_seconds']:.1f} s of CPU, in all modes; bounces: "
              f"{told['bounces_ham']} ham, {told['bounces_spam']} spam, the shipped model was "
              f"asked about {told['bounces_by_shipped']}")
        for what, theirs, more in (("online", self.online, ("raw view", "text view")),
                                   ("60/40", self.split, ("folders",))):
            rows = [found[what], theirs, *(found[one] for one in more)]
            measure.table(f"{name}, {what}", [one for one in rows if one is not None])
            if theirs is not None:
                compare(f"{name}, {what}", found[what], theirs)
        measure.table(f"{name}, day one", [found["day one"], found["evidence alone"],
                                           found["shipped alone"]])
        print_bins(told)
        if self.slow:
            just = self.slow[0].scores.__contains__
            rows = (found["60/40"], self.split, found["day one"])
            measure.table(f"{name}, a sample of the 40 %, after the 60 %",
                          [one.only(just) for one in rows if one is not None] + self.slow)


# --- the first day

def make_throwaway(pack):
    """What would ship had there been no SpamAssassin corpus. Phishing stands in for its spam: what
    ships may not be made of it, this does not ship."""
    model = proc.LAB / "throwaway.model"
    print(proc.run(proc.build_dir() / "bin/spam-train", "--leave-out", "spamassassin", "--also",
                   "phishing_pot", pack, SPAM_IN_LISTS, model, timeout=TEST_S).stdout.rstrip())
    return model


def halves(stream):
    """The first day on SpamAssassin's corpus by a model that has never seen it, and its halves."""
    one = stream.found["day one"]
    odd = {mail for mail in one.scores if mail.split("/")[-1][0] in "13579bdf"}
    measure.table("spamassassin, day one, by a model made without it", [
        one, one.only(odd.__contains__, "  those held out"),
        one.only(lambda mail: mail not in odd, "  the others")])
    ham, _ = one.wrong(one.levels["0.99"])
    for what, value, aim in (("1-ROCAC", one.above(), 0.015), ("ham above 0.99", ham, 0.01)):
        if value is not None:
            print(f"day one: {what} {measure.percent(value, len(one.ham))} %, aim {100 * aim:g} %: "
                  f"{'met' if value <= aim else 'NOT met'}")
            figure(f"spam, day one, {what}", f"{measure.percent(value, len(one.ham))} %",
                   "SpamAssassin's corpus, which the model has never seen")


def as_it_ships(folder, chosen):
    """By source, since it was trained with most of them: of the others alone it is a figure."""
    found, _, told = run_ours(folder, chosen, "--mode", "day-one")
    wrong = SPAM_IN_LISTS.read_text(encoding="ascii").split()
    one = found["day one"].only(lambda mail: mail.replace("/ham/", "/") not in wrong)
    measure.table("day one, as it ships: made of spamassassin and the lists, which it knows; of "
                  "phishing_pot and sisimai_dsn it knows nothing; without the spam in lists", [
                      one.only(lambda mail, s=source: mail.startswith(s + "/"), f"  {source}")
                      for source in sorted({mail.split("/")[0] for mail in one.scores})])
    print(f"bounces: {told['bounces_ham'] + told['bounces_spam']}, the shipped model was asked "
          f"about {told['bounces_by_shipped']}")


def run(chosen):
    begun = time.monotonic()
    pack = unpack(chosen)
    print(f"spam: {chosen.pack.name}" + (", every 20th mail" if chosen.quick else ""))
    throwaway = chosen.throwaway or make_throwaway(pack)
    streams = [Stream(name, stream_folder(pack, name, sources), chosen,
                      throwaway if name == "spamassassin" else NONE)
               for name, sources in SOURCES.items()]
    if not chosen.alone:
        bogofilter = peers.Bogofilter()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: one.ask_bogofilter(bogofilter), streams))
        for one in streams[:2] if chosen.sample else []:
            one.ask_slow(chosen.sample)
    for one in streams:
        one.report()
    halves(streams[1])
    as_it_ships(streams[0].folder, chosen)
    for one in streams[:2]:
        path = chosen.roc.with_stem(f"{chosen.roc.stem}-{one.name}")
        picture.draw(path, f"{one.name} ({chosen.pack.name})", one.drawn())
        print(f"{path}: ROC curves of " + "; ".join(each.name for each in one.drawn()))
    print(f"all of it took {time.monotonic() - begun:.0f} s")


def main():
    chosen = options(sys.argv[1:])
    if not chosen.pack.exists() or not chosen.dates.exists():
        print(f"spam: SKIPPED: {chosen.pack} or {chosen.dates} is not there")
        return 0
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    run(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
