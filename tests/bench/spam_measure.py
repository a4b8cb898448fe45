"""Measures of spam filters from what each said of each mail, the same for all of them.

Written apart from gateway/main/roc.c on purpose: `check` holds one against the other.
"""
import bisect

LEVELS = (0.5, 0.9, 0.99)
GIVEN_UP = (0.001, 0.01)


class Judged:
    """What one filter said of the mails of one run: {id: (score, is_spam)}.

    levels: {name: a score}: what is above it is held to be spam by that filter.
    """

    def __init__(self, name, scores, levels):
        self.name, self.scores, self.levels = name, scores, levels
        self.ham = sorted(score for score, spam in scores.values() if not spam)
        self.spam = sorted(score for score, spam in scores.values() if spam)

    def only(self, wanted, name=None):
        """The same filter, by those mails alone that wanted(id) is true of."""
        return Judged(name or self.name, {one: what for one, what in self.scores.items()
                                          if wanted(one)}, self.levels)

    def above(self):
        """1-ROCA: how often a ham has a higher score than a spam; None: nothing to compare."""
        if not self.ham or not self.spam:
            return None
        wrong = 0.0
        for score in self.ham:
            low = bisect.bisect_left(self.spam, score)
            wrong += low + (bisect.bisect_right(self.spam, score) - low) / 2
        return wrong / len(self.ham) / len(self.spam)

    def caught(self, part):
        """Of spam, what is above all ham but that part of it."""
        if not self.ham or not self.spam:
            return None
        highest = self.ham[-1 - int(part * len(self.ham) + 1e-9)]
        return (len(self.spam) - bisect.bisect_right(self.spam, highest)) / len(self.spam)

    def lost(self, part):
        """Of ham, what is not below all spam but that part of it."""
        if not self.ham or not self.spam:
            return None
        lowest = self.spam[int(part * len(self.spam) + 1e-9)]
        return (len(self.ham) - bisect.bisect_left(self.ham, lowest)) / len(self.ham)

    def wrong(self, level):
        """(of ham, of spam) what that level gets wrong; None where there is none of them."""
        over = len(self.ham) - bisect.bisect_right(self.ham, level)
        under = bisect.bisect_right(self.spam, level)
        return (over / len(self.ham) if self.ham else None,
                under / len(self.spam) if self.spam else None)

    def curve(self):
        """(ham lost, spam missed) at each threshold, from where all is kept."""
        points, thresholds = [], sorted(set(self.ham) | set(self.spam), reverse=True)
        for level in thresholds:
            lost = len(self.ham) - bisect.bisect_left(self.ham, level)
            missed = bisect.bisect_left(self.spam, level)
            points.append((lost / len(self.ham), missed / len(self.spam)))
        return points


def bound_of_none(n):
    """What a part is below, 19 times of 20, of which none of n was seen."""
    return 1 - 0.05 ** (1 / n) if n else 1


def percent(value, n=0, digits=2):
    if value is None:
        return "-"
    if value == 0 and n:
        return f"<{100 * bound_of_none(n):.{digits}f}"
    return f"{100 * value:.{digits}f}"


def table(title, rows):
    """Prints it; a line for each filter, at the levels that are its own."""
    print(f"\n{title}\n{'%':28}{'ham':>6}{'spam':>6}{'1-ROCAC':>9}{'caught,':>9}{'caught,':>8}"
          f"{'lost,':>8}{'lost,':>7}   wrong: ham/spam\n{'':49}{'-.1 ham':>9}{'-1 ham':>8}"
          f"{'-.1 spam':>9}{'-1 spam':>8}")
    for one in rows:
        cells = "  ".join(
            f"{name}: {percent(ham, len(one.ham))}/{percent(spam, len(one.spam))}"
            for name, (ham, spam) in ((n, one.wrong(at)) for n, at in one.levels.items()))
        print(f"{one.name:28}{len(one.ham):6}{len(one.spam):6}{percent(one.above(), digits=4):>9}"
              f"{percent(one.caught(0.001)):>9}{percent(one.caught(0.01)):>8}"
              f"{percent(one.lost(0.001)):>9}{percent(one.lost(0.01)):>8}   {cells}")


def check(mine, told):
    """Whether what `postern spam test --json` says of a mode is what its rows come to."""
    found = (mine.above(), mine.caught(0.001), mine.caught(0.01), mine.lost(0.001),
             mine.lost(0.01))
    names = ("above", "caught_0.1", "caught_1", "lost_0.1", "lost_1")
    return [f"{mine.name}: {name}: {told[name]} is told, {value} is right"
            for name, value in zip(names, found)
            if (value is None) != (told[name] is None)
            or (value is not None and abs(value - told[name]) > 1e-5 * max(value, 1e-3))]
