#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Draws what was measured, as far as it was, into files of a folder.
struct PlotFolder {
    let path: String

    /// - Returns: The names of the files.
    func draw(_ bars: [Bar]) throws -> [String] {
        let pictures = [
            ("commit.svg", Self.commit(bars)?.picture()),
            ("readers-queries.svg", Self.readersQueries(bars)?.picture()),
            ("readers-staleness.svg", Self.readersStaleness(bars)?.picture()),
            ("scale.svg", Self.scale(bars)?.picture()),
        ]
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return try pictures.compactMap { name, picture in
            guard let picture else { return nil }
            try picture.write(to: "\(path)/\(name)")
            return name
        }
    }

    // MARK: Commit to invalidated

    private static func commit(_ bars: [Bar]) -> DotPlot? {
        var known: Set<String> = []
        var drawn: [Bar] = []
        let rows = bars.compactMap { bar -> DotPlot.Row? in
            guard bar.benchmark == "commit", bar.labels["since"] == "acknowledgement",
                let change = bar.labels["change"],
                let ours = bar.measured, let floor = bar.baseline, known.insert(change).inserted
            else { return nil }
            drawn.append(bar)
            // A median that is 0 was invalidated before the writer knew of its commit; a microsecond is what is drawn then.
            let values = [ours, floor].enumerated().map { series, times in
                DotPlot.Value(series: series, number: max(times.median, 1), worst: max(times.p99, 1))
            }
            return DotPlot.Row(title: hasUnequalLoad(bar) ? "\(change) *" : change, values: values)
        }
        guard !rows.isEmpty else { return nil }
        let note = drawn.contains(where: hasUnequalLoad) ? " *: fewer than asked for." : ""
        return DotPlot(
            title: "From the acknowledgement of a commit to the raised generation",
            caption:
                "Median, and a line to the 99th percentile. Durable commits\(cores(drawn)); logarithmic.\(note)",
            series: ["Freshet", "floor: notification and counter, no journal"],
            rows: rows,
            text: time
        )
    }

    private static func hasUnequalLoad(_ bar: Bar) -> Bool { bar.labels["load"] == "unequal" }

    /// The number of cores behind a comma; nothing where it is not the same for all bars, or is not known.
    private static func cores(_ bars: [Bar]) -> String {
        guard let first = bars.first?.cores, bars.allSatisfy({ $0.cores == first }) else { return "" }
        return ", \(first) core\(first == 1 ? "" : "s")"
    }

    // MARK: Readers

    private static func readers(_ bars: [Bar], _ figure: String) -> (series: [String], rows: [DotPlot.Row])? {
        let cells = bars.filter { $0.benchmark == "readers" && $0.figures[figure] != nil }
        func values(of label: String) -> [String] {
            cells.reduce(into: []) { known, bar in
                if let value = bar.labels[label], !known.contains(value) { known.append(value) }
            }
        }
        let rates = values(of: "changes_per_second").compactMap { Int($0) }.sorted()
        let rows = values(of: "cache").map { cache in
            let values = rates.enumerated().compactMap { series, rate -> DotPlot.Value? in
                let cell = cells.first { $0.labels["cache"] == cache && $0.labels["changes_per_second"] == "\(rate)" }
                return cell?.figures[figure].map { DotPlot.Value(series: series, number: $0) }
            }
            return DotPlot.Row(title: cache == "none" ? "no cache" : cache, values: values)
        }
        guard !rows.isEmpty else { return nil }
        return (rates.map { "\($0) change\($0 == 1 ? "" : "s") a second" }, rows)
    }

    private static func readersQueries(_ bars: [Bar]) -> DotPlot? {
        readers(bars, "database_queries_per_second").map { series, rows in
            DotPlot(
                title: "Database queries a second, for 1,000 lookups a second",
                caption: "Those of readers, and those that keep the cache right. 50,000 detectors, Zipf; logarithmic.",
                series: series,
                rows: rows,
                text: number
            )
        }
    }

    private static func readersStaleness(_ bars: [Bar]) -> DotPlot? {
        readers(bars, "staleness_worst_ms").map { series, rows in
            let rows = rows.map { row in
                DotPlot.Row(
                    title: row.title,
                    values: row.values.map { DotPlot.Value(series: $0.series, number: $0.number * 1_000) }
                )
            }
            return DotPlot(
                title: "The stalest answer",
                caption: "Since the acknowledgement of a commit that had replaced it; logarithmic.",
                series: series,
                rows: rows,
                text: time
            )
        }
    }

    // MARK: Scale

    private static func scale(_ bars: [Bar]) -> LinePlots? {
        let cells = bars.compactMap { bar -> (size: Double, bar: Bar)? in
            guard bar.benchmark == "scale", !bar.figures.isEmpty,
                let size = bar.labels["detectors"].flatMap({ Double($0) })
            else { return nil }
            return (size, bar)
        }
        guard !cells.isEmpty else { return nil }
        func series(_ name: String, _ figure: (Bar) -> Double?) -> LinePlots.Series {
            LinePlots.Series(name: name, points: cells.compactMap { cell in figure(cell.bar).map { (cell.size, $0) } })
        }
        return LinePlots(
            title: "What depends on the number of detectors",
            caption: "Each has two cached sets of three workflows. Medians; the number of detectors is logarithmic.",
            plots: [
                LinePlots.Plot(
                    title: "Warm lookup of one detector",
                    series: [
                        series("Freshet") { $0.figures["lookup_us"] },
                        series("bare hiredis") { $0.baseline?.median },
                    ],
                    text: time
                ),
                LinePlots.Plot(
                    title: "Invalidating everything",
                    series: [series("") { $0.figures["namespace_invalidation_us"] }],
                    text: time
                ),
                LinePlots.Plot(
                    title: "Redis' memory for one",
                    series: [
                        series("entry") { $0.figures["bytes_per_entry"] },
                        // Less than 0 where the buffers of clients have shrunk meanwhile.
                        series("detector that changes, never cached") {
                            $0.figures["bytes_per_uncached_detector"].map { max(0, $0) }
                        },
                    ],
                    text: { "\(number($0)) B" }
                ),
                LinePlots.Plot(
                    title: "The worker's memory",
                    series: [series("") { $0.figures["worker_memory_mib"] }],
                    text: { "\(number($0)) MiB" }
                ),
            ],
            text: number
        )
    }

    // MARK: Numbers

    /// A time in microseconds, in the unit that suits it.
    private static func time(_ microseconds: Double) -> String {
        if microseconds == 0 { return "0" }
        if microseconds < 999.5 { return "\(number(microseconds)) µs" }
        if microseconds < 999_500 { return "\(number(microseconds / 1_000)) ms" }
        return "\(number(microseconds / 1_000_000)) s"
    }

    /// A number with about two digits, and commas between thousands.
    private static func number(_ number: Double) -> String {
        if number < 9.95 {
            let tenths = Int((number * 10).rounded())
            return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
        }
        let whole = Int(number.rounded())
        guard whole >= 1_000 else { return "\(whole)" }
        return Self.number(Double(whole / 1_000)) + "," + String("\(1_000 + whole % 1_000)".dropFirst())
    }
}
