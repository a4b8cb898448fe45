"""tally.py JUNIT CASES: prints "passed failed skipped"; CASES gets the names of the last two."""
import sys
import xml.etree.ElementTree as tree


def outcome(case):
    """ctest and pytest both write JUnit, each its own: ctest has a status, pytest has children."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skip = case.find("skipped")
    if skip is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "failed" if case.get("status") == "fail" else "passed"


def parts_skipped(case):
    """A unit test says on a line of its own which of its functions misses its data, and why."""
    said = (case.findtext("system-out") or "").splitlines()
    return [line.partition(": ")[2] for line in said if line.startswith("SKIPPED: ")]


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    lines = {}
    try:
        cases = list(tree.parse(sys.argv[1]).iter("testcase"))
    except (OSError, tree.ParseError):
        cases = []
    for case in cases:
        what = outcome(case)
        parts = parts_skipped(case)
        counts[what] += 1
        if what != "skipped":
            counts["skipped"] += len(parts)
        for reason in parts:
            lines[f"SKIPPED {case.get('name')}: {reason}"] = 1
        if what == "failed":
            lines[f"FAILED {case.get('classname')} {case.get('name')}"] = 1
        elif what == "skipped" and not parts:
            skip = case.find("skipped")
            reason = skip.get("message") if skip is not None else None
            # ctest's own reason says only that there was one.
            if not reason or reason.startswith("SKIP_"):
                reason = case.get("name")
            lines[f"SKIPPED {reason}"] = lines.get(f"SKIPPED {reason}", 0) + 1
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        for line, count in sorted(lines.items()):
            f.write(f"{line}{f' ({count} tests)' if count > 1 else ''}\n")
    print(*counts.values())


main()
