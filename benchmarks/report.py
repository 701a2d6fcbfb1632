"""Shows figures: as text, as a document, as pictures."""

from figures import figure, judge
from measuring import note
from suite import COLUMNS, CPU, MEMORY, NANOSECONDS, P50, P99, SPIN_MICROSECONDS, THROUGHPUT

COHO_COLOR, PEER_COLOR, TEXT_COLOR = "#e8603c", "#b4bec8", "#24303c"
TITLE_STYLE = {"loc": "left", "fontsize": 12, "weight": "bold"}
SPIN_NOTE = (f"Where coho spins, the load never sleeps, whichever the server; coho looks for work up to "
             f"{SPIN_MICROSECONDS} µs before it sleeps, and the CPU shown there is that of spinning.")
NAMES_NOTE = (
    "\"C\" is the better of the servers written by hand in C, \"C, same kernel\" the one on io_uring or epoll like coho's "
    "there, \"blocking\" a thread for each connection on blocking sockets. \"With leases\" no connection has a buffer "
    "while it is silent; \"with time limits\" is `examples/echo_server`, where each read and each write has one, and the "
    "others have none.")


def cells(row, by_server):
    """The heading of the table of a row, and its lines."""
    # What nobody can be compared with is no column.
    columns = [(metric, base) for metric, base in COLUMNS[row.kind]
               if any(figure(metric, base, by_server, server) is not None for server in by_server)]
    heading = [f"× {base}" if base else (f"{row.unit}s/s".replace("ys/", "ies/") if metric is THROUGHPUT
                                        else metric.title)
               for metric, base in columns]
    lines = []
    for server in by_server:
        line = [server.name]
        for metric, base in columns:
            number = figure(metric, base, by_server, server)
            line.append("–" if number is None else format(number, ".2f" if base else metric.form))
        lines.append(line)
    return [f"{row.title} ({row.name})", *heading], lines


def print_tables(results, description):
    print(*description, sep="\n")
    for row, by_server in results.items():
        heading, lines = cells(row, by_server)
        widths = [max(map(len, column)) for column in zip(heading, *lines)]
        print()
        for line in [heading, *lines]:
            print(f"{line[0]:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:])),
                  sep="  ")
    if any(row.kind == "load" for row in results):
        print(f"\n{NAMES_NOTE}")
    if any(row.spin for row in results):
        print(f"\n{SPIN_NOTE}")


# The document


def groups_of(results):
    groups = {}
    for row, by_server in results.items():
        groups.setdefault(row.group, {})[row] = by_server
    return groups


def markdown_table(heading, lines, words=1):
    """The first columns are words, the others numbers."""
    yield "| " + " | ".join(heading) + " |"
    yield "|" + "---|" * words + "--:|" * (len(heading) - words)
    for line in lines:
        yield "| " + " | ".join(line) + " |"


def write_document(results, description, left_out, command, path):
    """The document, and a picture for each of its groups beside it."""
    text = [
        "# Benchmarks", "",
        "Written by a run of `benchmarks/run`, which measures everything again with one command; do not edit it. "
        "The servers take turns within each round, and only ratios within this run mean anything. A figure is "
        "the median of the rounds, in nanoseconds the lowest; a ratio is the median of those round by round.", "",
        NAMES_NOTE, "",
        "    " + command, "",
        *(f"- {line}" for line in description), "",
        "One row alone, by its name: `benchmarks/run --build build/demo --row echo-64`. How many instructions an "
        "echo costs, the same to the digit on every run, is said by `tools/count-instructions`.", "",
        SPIN_NOTE, "",
    ]
    for group, rows in groups_of(results).items():
        picture = path.with_name("benchmarks-" + group.lower().replace(",", "").replace(" ", "-") + ".png")
        text += [f"## {group}", ""]
        if draw(rows, [f"{description[-2]}; {description[-1]}"], picture, group):
            text += [f"![{group}: bars of coho beside its peers]({picture.name})", ""]
        if all(row.kind == "operation" for row in rows):
            text += [*operations_table(rows), ""]
            continue
        for row, by_server in rows.items():
            heading, lines = cells(row, by_server)
            text += [row.about, ""] if row.about else []
            text += [*markdown_table([f"{row.title} (`{row.name}`)", *heading[1:]], lines), ""]
    judged = list(judge(results))
    if judged:
        text += ["## What is wanted, and what was measured", ""]
        lines = [[row.name, server.name, meaning, limit, "held" if held else "**missed**", f"{number:.3f}"]
                 for row, server, meaning, number, limit, held in judged]
        text += [*markdown_table(["row", "server", "figure", "wanted", "", "measured"], lines, 5), ""]
    if left_out:
        text += ["## Left out", "", *(f"- {sentence}" for sentence in left_out), ""]
    path.write_text("\n".join(text))
    print(f"\ndocument: {path}")


def operations_table(rows):
    """Operations have few peers: a line each."""
    names = list(dict.fromkeys(server.name for by_server in rows.values() for server in by_server))
    lines = []
    for row, by_server in rows.items():
        found = {server.name: figure(NANOSECONDS, "", by_server, server) for server in by_server}
        lines.append([f"{row.title} (`{row.name}`)",
                      *(format(found[name], NANOSECONDS.form) if name in found else "–" for name in names)])
    return markdown_table(["nanoseconds", *names], lines)


# Pictures


def panels_of(row):
    """Title, metric, and the peer that bars are labelled with a ratio to."""
    if row.kind == "memory":
        return [("bytes each, less is better", MEMORY, "C")]
    if row.kind == "operation":
        return [("nanoseconds, less is better", NANOSECONDS, "Asio")]
    if row.spin:
        return [("round trip in µs", P50, "blocking"),
                ("99 of 100 are quicker than, in µs", P99, "")]
    units = f"{row.unit}s/s".replace("ys/", "ies/")
    return [(f"{units}, more is better", THROUGHPUT, "blocking"),
            (f"server CPU per {row.unit} in µs, less is better", CPU, "C")]


def draw(results, description, path, title="coho beside its peers"):
    """True where there is a picture now."""
    try:
        import matplotlib
    except ImportError:
        note("no picture: matplotlib is missing (Debian: apt install python3-matplotlib)")
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"text.color": TEXT_COLOR, "ytick.labelcolor": TEXT_COLOR})
    columns = max(len(panels_of(row)) for row in results)
    heights = [0.9 + 0.34 * len(by_server) for by_server in results.values()]
    height = 1.7 + sum(heights)
    picture, grid = pyplot.subplots(
        len(results), columns, figsize=(6 * columns + 3 * (columns == 1), height), squeeze=False,
        layout="constrained", height_ratios=heights,
    )
    picture.get_layout_engine().set(rect=(0.01, 0, 0.98, 1 - 1.3 / height), hspace=0.06, wspace=0.05)
    for (row, by_server), line in zip(results.items(), grid):
        for axes, panel in zip(line, panels_of(row)):
            draw_bars(axes, by_server, *panel)
        line[0].set_title(f"{row.title}: {line[0].get_title(loc='left')}", **TITLE_STYLE)
        for axes in line[1:]:
            axes.set_yticklabels([])
    picture.text(0.012, 1 - 0.38 / height, title, fontsize=18, weight="bold")
    picture.text(0.012, 1 - 0.55 / height, "\n".join(description), fontsize=9.5, linespacing=1.5, va="top")
    picture.savefig(path, dpi=110, facecolor="white")
    pyplot.close(picture)
    print(f"\npicture: {path}")
    return True


def draw_bars(axes, by_server, title, metric, base):
    values = [figure(metric, "", by_server, server) for server in by_server]
    ratios = [figure(metric, base, by_server, server) if base else None for server in by_server]
    peer = "better C" if base == "C" else base
    labels = [format(number, metric.form) + (f"   ({ratio:.2f} × {peer})" if ratio is not None else "")
              for number, ratio in zip(values, ratios)]
    colors = [COHO_COLOR if server.is_coho else PEER_COLOR for server in by_server]
    bars = axes.barh([server.name for server in by_server], values, color=colors, height=0.72)
    axes.bar_label(bars, labels, padding=5, fontsize=10)
    axes.set_title(title, **TITLE_STYLE)
    axes.set_xlim(0, max(values) * 1.5)  # leaves room for the label of the longest bar
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=11)
    axes.set_ylim(max(2, len(values)) - 0.5, -0.5)  # the first on top, and a lone bar no thicker
    axes.spines[:].set_visible(False)
