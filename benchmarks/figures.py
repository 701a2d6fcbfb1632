"""From what was measured to figures, and to what is wanted of them."""

import statistics

from suite import OWN_C, WANTED


def value(metric, rounds):
    values = [metric.read(measured) for measured in rounds]
    return min(values) if metric.lowest else statistics.median(values)


def ratio_between(metric, rounds, base_rounds):
    """The median of the ratios round by round, so no lucky round counts; none where the base is nothing."""
    pairs = [(metric.read(a), metric.read(b)) for a, b in zip(rounds, base_rounds)]
    if any(b <= 0 for _, b in pairs):
        return None
    return statistics.median(a / b for a, b in pairs)


def base_of(metric, by_server, base, compared):
    """The rounds of the peer; none where it was not measured."""
    if base == "C":
        peers = [server for server in by_server if server.is_c]
    elif base == OWN_C:
        peers = [server for server in by_server if server.is_c and server.kernel == compared.kernel]
    else:
        peers = [server for server in by_server if server.name.startswith(base)]
    if not peers:
        return None
    best = max if metric.more_is_better else min
    return by_server[best(peers, key=lambda server: value(metric, by_server[server]))]


def figure(metric, base, by_server, server):
    """The metric of a server, or its ratio to the peer; none where there is none."""
    if not base:
        return value(metric, by_server[server])
    base_rounds = base_of(metric, by_server, base, server)
    return base_rounds and ratio_between(metric, by_server[server], base_rounds)


def judge(results):
    """A tuple for each wanted figure that was measured: row, server, meaning, figure, limit, held."""
    rows = {row.name: row for row in results}
    for wanted in WANTED:
        for row in (rows[name] for name in wanted.rows if name in rows):
            for server, rounds in results[row].items():
                if not server.name.startswith(wanted.servers):
                    continue
                if wanted.base_row:
                    base_rounds = results.get(rows.get(wanted.base_row), {}).get(server)
                    # Rows are measured one after another, so that their rounds are no pairs.
                    base = base_rounds and value(wanted.metric, base_rounds)
                    number = base and value(wanted.metric, rounds) / base
                else:
                    number = figure(wanted.metric, wanted.base, results[row], server)
                if number:
                    limit = f"at least {wanted.least:g}" if wanted.least else f"at most {wanted.most:g}"
                    yield row, server, wanted.meaning, number, limit, wanted.least <= number <= wanted.most
