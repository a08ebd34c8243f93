"""Tables of the comparison in Markdown: medians over the rounds, and ratios within a round."""

import statistics

REFERENCES = {"bare": "bare hyper", "nginx": "nginx"}
# Part of its core below which other work, the load or the upstream limits a server.
ENOUGH = 0.8


def ratios(rounds, reference, figure):
    """A figure of one subject by that of another in the same rounds."""
    pairs = [(mine[figure], theirs[figure]) for mine, theirs in zip(rounds, reference) if mine and theirs]
    return [mine / theirs for mine, theirs in pairs if mine and theirs]


def summary(rounds, references):
    """The medians of a subject's rounds, or nothing where no round counts."""
    good = [figures for figures in rounds if figures]
    if not good:
        return None
    row = {name: statistics.median(figures[name] for figures in good) for name in good[0]}
    row["rounds"] = len(good)
    for key, reference in references.items():
        for figure, name in (("rate", f"of_{key}"), ("cpu_us", f"cpu_of_{key}")):
            found = ratios(rounds, reference, figure)
            row[name] = [statistics.median(found), min(found), max(found)] if found else None
    return row


def case_rows(results):
    """The summaries of all subjects of a case, in the order of the subjects."""
    references = {key: results[key]["rounds"] for key in REFERENCES if key in results}
    for key, result in results.items():
        row = summary(result["rounds"], references)
        yield key, result["name"], row


def ratio(row, name):
    found = row.get(name)
    if not found:
        return "-"
    median, least, most = found
    return f"{median:.2f} ({least:.2f} to {most:.2f})" if row["rounds"] > 1 else f"{median:.2f}"


def milliseconds(microseconds):
    return f"{microseconds / 1000:.3g}" if microseconds < 1e6 else f"{microseconds / 1000:,.0f}"


def markdown(report):
    """Every table, with what was left out and why."""
    lines = []
    for case in report["cases"].values():
        shown = [key for key in REFERENCES if key in case["subjects"]]
        columns = [case["unit"], *(f"of {REFERENCES[key]}" for key in shown), "p50 ms", "p99 ms", "p99.9 ms"]
        columns.append(f"CPU µs / {case['per']}")
        columns += [f"CPU of {REFERENCES[key]}" for key in shown[:1]]
        columns += ["core used", "memory MB"]
        lines += [f"### {case['title']}", "", f"| server | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for _, name, row in case_rows(case["subjects"]):
            if row is None:
                lines.append(f"| {name} | failed |" + " |" * (len(columns) - 1))
                continue
            cells = [f"{row['rate']:,.0f}", *(ratio(row, f"of_{key}") for key in shown)]
            cells += [milliseconds(row[part]) for part in ("p50", "p99", "p999")]
            cells += [f"{row['cpu_us']:,.1f}", *(ratio(row, f"cpu_of_{key}") for key in shown[:1])]
            cells += [f"{row['core']:.0%}", f"{row['memory'] / 1e6:,.0f}"]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    for title, reasons in (("Not measured", report["missing"]), ("Failed", report["failures"])):
        if reasons:
            lines += [f"**{title}:**", "", *(f"- {reason}" for reason in reasons), ""]
    return "\n".join(lines)


def about(report):
    """Machine, rounds and noise, in words."""
    machine, options = report["machine"], report["options"]
    before = machine["before"]
    rows = [row for case in report["cases"].values() for _, _, row in case_rows(case["subjects"]) if row]
    starved = sum(row["core"] < ENOUGH for row in rows)
    return (
        f"{report['date']}: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux "
        f"{machine['kernel']}; {options['rounds']} rounds of {options['seconds']} s. Before the run other work used "
        f"{before['used']:.0%} of the machine, and the hypervisor took {before['stolen']:.0%}. In {starved} of {len(rows)} rows the "
        f"server had less than {ENOUGH:.0%} of its core: there compare the processor's time, not the rates."
    )
