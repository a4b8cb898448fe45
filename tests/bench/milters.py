"""What milters cost: Postfix with others' filters, with Postern, and with none, in turn.

The figure that matters is the milters' part: what the whole takes beyond Postfix alone, so that
Postfix's own cost of speaking to a milter is counted as the milter's.
"""
import systems

AIM = 0.2
PLAIN, FILTERS, OURS, THROUGH = "Postfix", "Postfix+filters", "Postfix+Postern", "...libmilter"


def start(chosen, zone):
    running = [systems.PostfixPostern(OURS, 45, zone.trust_file)]
    if chosen.through:
        running.append(systems.PostfixPostern(THROUGH, 46, zone.trust_file,
                                              options="through libmilter"))
    running.append(systems.PostfixQueue(PLAIN, 44))
    if not chosen.alone:
        running.append(systems.PostfixFull(FILTERS))
    return running


def report(found, size, figure):
    """found: {name: (CPU, rate, PSS)}."""
    plain, plain_mb = found[PLAIN][0], found[PLAIN][2]
    parts = {name: each[0] - plain for name, each in found.items() if name != PLAIN}
    for name, part in parts.items():
        print(f"the milters' part of {name}: {part:.3f} CPU s/1000, "
              f"{found[name][2] - plain_mb:.0f} MB")
        figure(f"milter, {name}", f"{part:.3f} s/1000",
               f"CPU beyond Postfix alone, {size}; {found[name][1]:.0f} mails/s")
    theirs = parts.get(FILTERS)
    if theirs is None:
        return
    for name in (OURS, THROUGH):
        if name in parts:
            ratio = parts[name] / theirs
            print(f"{name} takes {ratio:.3f} of the filters' part; aim {AIM}: "
                  f"{'met' if ratio <= AIM else 'NOT met'}")
            figure(f"milter, {name}, ratio", f"{ratio:.3f}",
                   "of the part of opendkim, opendmarc, policyd-spf and clamav-milter")
