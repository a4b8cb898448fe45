"""Our SPF engine: the openspf suites with explanations (HDR-06), and beside python3-spf."""
import os

import pytest

import spf_engine

yaml = pytest.importorskip("yaml")


def load(name):
    path = spf_engine.SUITES / "spf-openspf" / name
    if not path.exists():
        return None
    with open(path, encoding="utf-8") as f:
        return [group for group in yaml.safe_load_all(f) if group]


@pytest.fixture(scope="module")
def engine():
    if not spf_engine.BINARY.exists():
        pytest.skip(f"{spf_engine.BINARY} is not built")
    one = spf_engine.Engine()
    yield one
    assert one.close() == 0


@pytest.mark.parametrize("name,cases", [("rfc7208-tests.yml", 203), ("rfc4408-tests.yml", 191)])
def test_suite(engine, name, cases):
    groups = load(name)
    if groups is None:
        pytest.skip(f"no {name} in {spf_engine.SUITES}/spf-openspf")
    count, wrong = 0, []
    for group in groups:
        engine.zone(spf_engine.records(group["zonedata"]))
        for case, test in group["tests"].items():
            count += 1
            sender = test["mailfrom"] or ""
            result, mechanism, explanation, problem, _ = engine.check(
                str(test["host"]), test["helo"] or "", sender)
            allowed = test["result"] if isinstance(test["result"], list) else [test["result"]]
            if result not in allowed:
                wrong.append(f"{case}: {result}, not {allowed} ({mechanism} {problem})")
                continue
            # The suite's DEFAULT is the receiver's own text: ours is none.
            wanted = test.get("explanation")
            if wanted is not None and result == "fail" and explanation != (
                    "" if wanted == "DEFAULT" else wanted):
                wrong.append(f"{case}: explanation {explanation!r}, not {wanted!r}")
    assert count == cases
    assert not wrong, f"{len(wrong)} of {count} wrong:\n" + "\n".join(wrong)


# What libspf2 gets wrong though names, void look-ups and INVALID are put right around it; by
# cause in gateway/second/README.md. A number that changes is news either way.
SECOND_WRONG = {"rfc7208-tests.yml": 53, "rfc4408-tests.yml": 52}


@pytest.mark.engines
@pytest.mark.parametrize("name,cases", [("rfc7208-tests.yml", 203), ("rfc4408-tests.yml", 191)])
def test_beside_libspf2(engine, name, cases):
    """Results of ours and of libspf2 through its process, on the same cases and answers."""
    groups = load(name)
    if groups is None:
        pytest.skip(f"no {name} in {spf_engine.SUITES}/spf-openspf")
    count, wrong, runs = 0, {"ours": [], "libspf2": []}, 0
    for group in groups:
        engine.zone(spf_engine.records(group["zonedata"]))
        for case, test in group["tests"].items():
            count += 1
            allowed = test["result"] if isinstance(test["result"], list) else [test["result"]]
            for who in wrong:
                said = engine.check(str(test["host"]), test["helo"] or "", test["mailfrom"] or "",
                                    second=who == "libspf2")
                assert said[0] != "failed", case
                runs += said[4] if who == "libspf2" else 0
                if said[0] not in allowed:
                    wrong[who].append(f"{case}: {said[0]}, not {allowed}")
    text = "\n".join([f"{len(wrong['libspf2'])} of {count} results of libspf2 are wrong "
                      f"({runs} runs):", *wrong["libspf2"]])
    print(text)
    assert count == cases
    assert not wrong["ours"], wrong["ours"]
    assert len(wrong["libspf2"]) == SECOND_WRONG[name], text
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write(f"spf {name}\tours {count} of {count}, libspf2 {count - len(wrong['libspf2'])}"
                    "\tresults that are right; explanations: ours all, libspf2 is not let to\n")


@pytest.mark.parametrize("count", [2000, pytest.param(100000, marks=pytest.mark.long)])
def test_beside_python3_spf(engine, count):
    """Random records: differences are grouped by cause, and none is without one."""
    pytest.importorskip("spf", reason="python3-spf is not installed")
    import spf_differential
    groups, unexplained, results = spf_differential.run(count, seed=20261122)
    text = spf_differential.report(count, groups, unexplained, results)
    print(text)
    assert not unexplained, text
    assert all(results.get(r, 0) > count / 100 for r in (
        "none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")), results
    if "POSTERN_FIGURES" in os.environ:
        with open(os.environ["POSTERN_FIGURES"], "a", encoding="utf-8") as f:
            f.write(f"spf beside python3-spf, {count} cases\t{sum(groups.values())} differ, "
                    f"0 unexplained\t{len({c for g in groups for c in g})} causes, all its own\n")
