"""The forecast for people: a table, a chart, and what would have to change; and for programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from rotator.advice import advice, names, of_budget, of_row, rate, span
from rotator.cli import terminal
from rotator.cli.context import Exit, say
from rotator.planning import Plan, plan
from rotator.reports import instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from rotator.forecast import BudgetUse, Forecast, Row
    from rotator.progress import Progress
    from rotator.wiring import App

CHARTS = 8
"""How many providers and clients are drawn: those whose budgets are filled most."""

APART = 20
"""How many of those that cannot be foreseen are listed one by one."""

LEAST_WIDTH = 8
"""What names keep on a narrow terminal."""

HEIGHT = 4
WIDEST = 96
CHART_WIDTH = 80
"""Where no terminal limits it: a chart as wide as a pipe allows is no chart."""

BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN = " #"

FULL, NEARLY = 1.0, 0.8


def looked_ahead(app: App, horizon_s: float, progress: Progress, *, as_json: bool) -> Plan:
    """Look at every credential and forecast what is to come of it."""
    seen = app.passes.look(app.credentials, progress=progress)
    progress("looking ahead", 0, 0)
    return plan(
        seen,
        app.budget,
        now=app.surroundings.clock.now(),
        horizon_s=horizon_s,
        stores={store: pace.interval_s for store, (_, pace) in app.quotas.items()},
        parts=app.shard.of,
        buckets=WIDEST if as_json else columns(terminal.columns()),
    )


def show(found: Plan, *, as_json: bool) -> None:
    """Print a plan to stdout."""
    if as_json:
        say(plan_json(found))
    else:
        page = terminal.console()
        with page.capture() as captured:  # for `say`, which knows what to do when nobody reads on
            print_plan(found, page)
        say(captured.get().removesuffix("\n"))


def verdict(found: Plan) -> Exit:
    """Return 1 when a plan is not feasible, else 75 when some could not be read just now, else 0."""
    if not found.forecast.feasible:
        return Exit.PERSON
    return Exit.TEMPORARY if any(one.temporary for one in found.apart) else Exit.WELL


def print_plan(found: Plan, page: Console) -> None:
    """Print the forecast; narrow terminals are honoured."""
    page.print(plan_table(found.forecast))
    fancy = terminal.is_terminal() and terminal.is_coloured() and page.encoding.startswith("utf")
    for line in charts(found.forecast, fancy=fancy):
        page.print(line, no_wrap=True, crop=True)
    for sentence in sentences(found):
        page.print(Text(sentence), soft_wrap=True)


def sentences(found: Plan) -> Iterator[str]:
    """Yield what is said below the table, the verdict last."""
    ahead = found.forecast
    yield from advice(ahead)
    for one in found.apart[:APART]:
        yield f"not foreseen: {one.name}: {one.state}: {one.reason}"
    if len(found.apart) > APART:
        yield f"not foreseen: {len(found.apart) - APART:,} more; rotator status has all"
    if not ahead.complete:
        yield f"there are more refreshes than can be followed: it looks ahead until {instant(ahead.ends_at)} only"
    within = f"in the next {span((ahead.ends_at - ahead.begins_at).total_seconds())}"
    late = sum(len(row.late) for row in ahead.rows)
    if ahead.feasible:
        yield f"feasible: {within} no token ends before its refresh"
    elif late:
        yield f"not feasible: {within} {late:,} {'token ends' if late == 1 else 'tokens end'} before the refresh"
    else:
        yield f"not feasible: {within} no token ends before its refresh, but in the long run some do"


def columns(width: int | None) -> int:
    """Return how many columns a chart has on a terminal, and so into how many pieces time is cut."""
    return max(8, min(WIDEST, (width or CHART_WIDTH) - 1))


def plan_table(found: Forecast) -> Table:
    """Return a line for each provider and client, and for each store with a limit."""
    table = Table(box=None, pad_edge=False)
    for heading in ("PROVIDER", "CLIENT"):
        table.add_column(heading, overflow="fold", min_width=LEAST_WIDTH)
    for heading in ("CREDENTIALS", "REFRESHES", "BUDGET", "NEEDED", "LATE"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("LATE FIRST", overflow="fold", min_width=LEAST_WIDTH)
    for row in found.rows:
        table.add_row(
            Text(row.provider),  # as text: a name with brackets in it is no markup
            Text(row.client_id or "-"),
            f"{row.credentials:,}",
            f"{row.refreshes:,}",
            *_budget_cells(found.lanes.get(row.lane)),
            Text(f"{len(row.late):,}", style="red" if row.late else "green"),
            Text(names(row.late) if row.late else "-"),
        )
    for use in found.stores.values():
        table.add_row(
            Text(f"store {use.label}"), "-", f"{use.credentials:,}", "-", *_budget_cells(use),
            Text(f"{use.late:,}", style="red" if use.late else "green"), "-",
        )  # fmt: skip
    return table


def _budget_cells(use: BudgetUse | None) -> tuple[str, Text]:
    if use is None or not use.interval_s:
        return "-", Text("-")
    share = use.load
    count, _, each = rate(1 / use.interval_s, "starts").split(maxsplit=2)
    return (
        f"{count}/{each.split()[1]}",
        Text(f"{100 * share:.0f} %", style="red" if use.overloaded else "yellow" if share > NEARLY else ""),
    )


# ---------------------------------------------------------------------------------------------------------- charts


def charts(found: Forecast, *, fancy: bool) -> Iterator[Text]:
    """Yield the lines of the charts: refreshes over time, for the fullest budgets."""
    rows = sorted(found.rows, key=lambda row: _fullness(found, row), reverse=True)
    for row in rows[:CHARTS]:
        use = found.lanes.get(row.lane)
        most = found.bucket_s / use.interval_s if use and use.interval_s else math.inf
        highest = max(row.buckets)
        of_most = f" of {most:,.0f}" if most < math.inf else ""
        label = f"{row.provider}|{row.client_id or ''}"
        yield Text(f"\n{label}: refreshes per {span(found.bucket_s)}, up to {highest:,}{of_most}")
        colour = "green" if highest < NEARLY * most else "yellow" if highest < FULL * most else "red"
        for line in bars(row.buckets, HEIGHT, BLOCKS if fancy else PLAIN):
            yield Text(line, style=colour if fancy else "")
        yield Text(axis(len(row.buckets), found.bucket_s * len(row.buckets)))
    if len(rows) > CHARTS:
        yield Text(f"and {len(rows) - CHARTS:,} more; --json has all")
    yield Text()


def _fullness(found: Forecast, row: Row) -> tuple[float, int]:
    use = found.lanes.get(row.lane)
    return (max(row.buckets, default=0) * use.interval_s if use else 0.0, row.refreshes)


def bars(counts: Sequence[int], height: int, steps: str) -> list[str]:
    """Return bars as lines of text, the top one first; whatever is not nothing shows.

    Args:
        steps: The characters from empty to full; a bar is rounded to the steps of its topmost one.
    """
    highest = max(counts, default=0) or 1
    full = len(steps) - 1
    filled = [0 if count == 0 else max(1, round(count / highest * height * full)) for count in counts]
    return [
        "".join(steps[min(full, max(0, level - line * full))] for level in filled).rstrip()
        for line in reversed(range(height))
    ]


def axis(width: int, length_s: float) -> str:
    """Return the line below the bars: when each quarter begins."""
    line = ["-"] * width
    for quarter in range(4):
        label = "now" if quarter == 0 else f"+{span(length_s * quarter / 4)}"
        begin = width * quarter // 4
        if begin + len(label) <= width:
            line[begin : begin + len(label)] = label
    return "".join(line)


# ------------------------------------------------------------------------------------------------------------ JSON


def plan_json(whole: Plan) -> str:
    """Return what `plan --json` prints."""
    found = whole.forecast
    return json.dumps(
        {
            "feasible": found.feasible,
            "from": instant(found.begins_at),
            "until": instant(found.ends_at),
            "bucket_s": found.bucket_s,
            "providers": [_row_json(found, row) for row in found.rows],
            "stores": [{"store": use.label, **_use_json(use, found)} for use in found.stores.values()],
            "not_foreseen": [
                {"name": one.name, "provider": one.provider, "state": one.state, "reason": one.reason}
                for one in whole.apart
            ],
        },
        ensure_ascii=False,
    )


def _row_json(found: Forecast, row: Row) -> dict[str, Any]:
    use = found.lanes.get(row.lane)
    return {
        "provider": row.provider,
        "client_id": row.client_id,
        "feasible": row.feasible,
        "refreshes": row.refreshes,
        "late": list(row.late),
        "credentials": row.credentials,
        "ended": row.ended,
        "buckets": list(row.buckets),
        "budget": _use_json(use, found) if use else None,
        "advice": list(of_row(row)),
    }


def _use_json(use: BudgetUse, found: Forecast) -> dict[str, Any]:
    return {
        "feasible": use.feasible,
        "interval_s": use.interval_s,
        "credentials": use.credentials,
        "needs_per_s": use.needs_per_s,
        "load": use.load,
        "late": use.late,
        "times_larger": use.times_larger,
        "advice": list(of_budget(use, found.begins_at)),
    }
