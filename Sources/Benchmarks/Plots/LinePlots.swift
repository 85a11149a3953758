/// Small plots side by side of values that grow with something or stay as they are, each from 0 up, over a logarithmic axis.
struct LinePlots {
    struct Series {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    struct Plot {
        var title: String
        var series: [Series]
        /// A value with its unit.
        var text: (Double) -> String
    }

    var title: String
    var caption: String
    var plots: [Plot]
    /// A number of the axis below.
    var text: (Double) -> String

    private static let paints: [SVGPicture.Paint] = [.first, .second, .third]
    private static let (top, plotHeight, columns) = (60.0, 228.0, 2)

    func picture(width: Double = 760) -> SVGPicture {
        let rowCount = (plots.count + Self.columns - 1) / Self.columns
        let height = Self.top + Self.plotHeight * Double(rowCount) + 8
        var picture = SVGPicture(width: width, height: height, title: title, summary: summary)
        picture.write(title, at: (16, 28), size: 16, isBold: true)
        picture.write(caption, at: (16, 48), .quiet)
        let plotWidth = (width - 16) / Double(Self.columns)
        for (index, plot) in plots.enumerated() {
            let x = 16 + plotWidth * Double(index % Self.columns)
            let y = Self.top + Self.plotHeight * Double(index / Self.columns)
            draw(plot, in: &picture, at: (x, y), width: plotWidth - 16)
        }
        return picture
    }

    private func draw(_ plot: Plot, in picture: inout SVGPicture, at corner: (x: Double, y: Double), width: Double) {
        let values = plot.series.flatMap { $0.points.map(\.y) }
        let (top, floor) = (corner.y + 62, corner.y + Self.plotHeight - 38)
        let vertical = Axis(.linear, of: values, places: (floor, top))
        let left = corner.x + 12 + (vertical.ticks.map { SVGPicture.width(of: plot.text($0), size: 11) }.max() ?? 0)
        let right = corner.x + width
        let horizontal = Axis(
            .logarithmic,
            of: plot.series.flatMap { $0.points.map(\.x) },
            places: (left + 26, right - 34)
        )
        picture.write(plot.title, at: (corner.x, corner.y + 20), isBold: true)
        var legend = corner.x + 6
        for (paint, series) in zip(Self.paints, plot.series) where plot.series.count > 1 {
            picture.mark(at: (legend, corner.y + 36), paint)
            picture.write(series.name, at: (legend + 12, corner.y + 40), size: 11, .quiet)
            legend += 32 + SVGPicture.width(of: series.name, size: 11)
        }
        for tick in vertical.ticks {
            let y = vertical.place(of: tick)
            picture.line(from: (left, y), to: (right, y), tick == 0 ? .quiet : .grid, width: 1)
            picture.write(plot.text(tick), at: (left - 6, y + 4), size: 11, .quiet, .end)
        }
        for x in Set(plot.series.flatMap { $0.points.map(\.x) }).sorted() {
            let place = horizontal.place(of: x)
            picture.line(from: (place, floor), to: (place, floor + 4), .quiet, width: 1)
            picture.write(text(x), at: (place, floor + 18), size: 11, .quiet, .middle)
        }
        for (index, (paint, series)) in zip(Self.paints, plot.series).enumerated() {
            let places = series.points.map { (x: horizontal.place(of: $0.x), y: vertical.place(of: $0.y)) }
            picture.lines(through: places, paint)
            for (place, point) in zip(places, series.points) {
                picture.mark(at: place, paint)
                // Above the first line, below the others, where there is most room for it; but not among the numbers of the axis.
                let isAbove = index == 0 || place.y > floor - 20
                picture.write(
                    plot.text(point.y),
                    at: (place.x, place.y + (isAbove ? -10 : 19)),
                    size: 11,
                    .ink,
                    .middle
                )
            }
        }
    }

    /// The values in words.
    private var summary: String {
        let lines = plots.map { plot in
            let series = plot.series.map { series in
                let points = series.points.map { "\(plot.text($0.y)) at \(text($0.x))" }.joined(separator: ", ")
                return plot.series.count > 1 ? "\(series.name) \(points)" : points
            }
            return "\(plot.title): \(series.joined(separator: "; "))."
        }
        return ([caption] + lines).joined(separator: " ")
    }
}
