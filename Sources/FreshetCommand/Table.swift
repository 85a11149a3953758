/// Text in columns, for people.
struct Table {
    let header: [String]
    let rows: [[String]]

    func lines(_ terminal: Terminal, indent: String = "  ") -> [String] {
        let widths = header.indices.map { column in
            ([header] + rows).map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        func line(_ cells: [String]) -> String {
            var text = indent
            for (column, cell) in cells.enumerated() {
                text += cell
                if column < cells.count - 1 {
                    text += String(repeating: " ", count: widths[column] - cell.count + 2)
                }
            }
            return text
        }
        return [terminal.style(line(header), .faint)] + rows.map(line)
    }
}
