/// Rows of values on a logarithmic axis, each with a mark for each series, and a line to where it ends at worst.
///
/// Marks, not bars: the length of a bar says nothing where the axis does not begin at 0. A value of 0 has a place of its own.
struct DotPlot {
    struct Value {
        var series: Int
        var number: Double
        /// Where the line from the mark ends; nil draws none.
        var worst: Double?
    }

    struct Row {
        var title: String
        var values: [Value]
    }

    var title: String
    /// What is drawn, in a line below the title.
    var caption: String
    var series: [String]
    var rows: [Row]
    /// A number with its unit.
    var text: (Double) -> String

    private static let paints: [SVGPicture.Paint] = [.first, .second, .third]
    private static let (lineHeight, rowGap, top, bottom) = (17.0, 12.0, 92.0, 34.0)

    func picture(width: Double = 760) -> SVGPicture {
        let numbers = rows.flatMap { $0.values.flatMap { [$0.number, $0.worst ?? $0.number] } }
        let hasZero = numbers.contains(0)
        let left = 24 + (rows.map { SVGPicture.width(of: $0.title) }.max() ?? 0)
        let right = width - 76
        let axis = Axis(.logarithmic, of: numbers, places: (left + (hasZero ? 56 : 12), right))
        let height =
            Self.top + Self.bottom
            + rows.reduce(0) { $0 + Self.lineHeight * Double($1.values.count) + Self.rowGap }
        var picture = SVGPicture(width: width, height: height, title: title, summary: summary)
        picture.write(title, at: (16, 28), size: 16, isBold: true)
        picture.write(caption, at: (16, 48), .quiet)
        legend(in: &picture)

        let floor = height - Self.bottom
        for tick in axis.ticks {
            let x = axis.place(of: tick)
            picture.line(from: (x, Self.top - 6), to: (x, floor), .grid, width: 1)
            picture.write(text(tick), at: (x, floor + 18), size: 11, .quiet, .middle)
        }
        let zero = left + 16
        if hasZero {
            picture.line(from: (zero, Self.top - 6), to: (zero, floor), .grid, width: 1)
            picture.write("0", at: (zero, floor + 18), size: 11, .quiet, .middle)
        }
        func place(of number: Double) -> Double { number > 0 ? axis.place(of: number) : zero }

        var y = Self.top
        for row in rows {
            let rowHeight = Self.lineHeight * Double(row.values.count)
            picture.write(row.title, at: (left, y + rowHeight / 2 + 4), .ink, .end)
            for value in row.values {
                let middle = y + Self.lineHeight / 2
                let paint = Self.paints[value.series % Self.paints.count]
                let x = place(of: value.number)
                var end = x
                if let worst = value.worst, worst > value.number {
                    end = place(of: worst)
                    picture.line(from: (x, middle), to: (end, middle), paint, width: 2)
                    picture.line(from: (end, middle - 4), to: (end, middle + 4), paint, width: 2)
                }
                picture.mark(at: (x, middle), paint)
                let words = text(value.number) + (value.worst.map { " to \(text($0))" } ?? "")
                // Where there is no room to the right, to the left.
                let fits = end + 10 + SVGPicture.width(of: words, size: 11) < width - 8
                picture.write(words, at: (fits ? end + 10 : x - 10, middle + 4), size: 11, .quiet, fits ? .start : .end)
                y += Self.lineHeight
            }
            y += Self.rowGap
            if row.title != rows.last?.title {
                picture.line(from: (16, y - Self.rowGap / 2), to: (width - 16, y - Self.rowGap / 2), .grid, width: 1)
            }
        }
        return picture
    }

    private func legend(in picture: inout SVGPicture) {
        var x = 22.0
        for (paint, name) in zip(Self.paints, series) {
            picture.mark(at: (x, 68), paint)
            picture.write(name, at: (x + 12, 72))
            x += 36 + SVGPicture.width(of: name)
        }
    }

    /// The values in words.
    private var summary: String {
        let lines = rows.map { row in
            let values = row.values.map { value in
                "\(series[value.series]) \(text(value.number))" + (value.worst.map { " to \(text($0))" } ?? "")
            }
            return "\(row.title): \(values.joined(separator: ", "))."
        }
        return ([caption] + lines).joined(separator: " ")
    }
}
