#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A picture as SVG: a plain file without scripts, whose text is text, that is as readable on dark paper as on light.
struct SVGPicture {
    /// What something is painted with; what it looks like depends on the reader's paper.
    enum Paint: String {
        case ink, quiet, grid, first, second, third
    }

    enum Anchor: String {
        case start, middle, end
    }

    /// How wide one character is on average, of the height of the text: what a place for text is measured by, as nobody knows the
    /// reader's fonts.
    static let characterWidth = 0.56

    let width: Double
    let height: Double
    let title: String
    let summary: String
    private var elements: [String] = []

    /// - Parameter summary: What the picture shows, for those who cannot see it.
    init(width: Double, height: Double, title: String, summary: String) {
        self.width = width
        self.height = height
        self.title = title
        self.summary = summary
    }

    // MARK: Drawing

    mutating func line(
        from start: (x: Double, y: Double),
        to end: (x: Double, y: Double),
        _ paint: Paint,
        width: Double
    ) {
        elements.append(
            """
            <line x1="\(Self.text(start.x))" y1="\(Self.text(start.y))" x2="\(Self.text(end.x))" y2="\(Self.text(end.y))" \
            class="\(paint.rawValue)-line" stroke-width="\(Self.text(width))"/>
            """
        )
    }

    mutating func lines(through points: [(x: Double, y: Double)], _ paint: Paint) {
        let places = points.map { "\(Self.text($0.x)),\(Self.text($0.y))" }.joined(separator: " ")
        elements.append(
            "<polyline points=\"\(places)\" fill=\"none\" class=\"\(paint.rawValue)-line\" stroke-width=\"2\"/>"
        )
    }

    /// A mark of a series: each has a form of its own, so that nothing depends on colour alone.
    mutating func mark(at place: (x: Double, y: Double), _ paint: Paint) {
        let (x, y) = (Self.text(place.x), Self.text(place.y))
        switch paint {
        case .second:
            elements.append(
                "<path d=\"M\(x) \(y)m0 -5.6l5.6 5.6l-5.6 5.6l-5.6 -5.6z\" class=\"second\"/>"
            )
        case .third:
            elements.append(
                "<rect x=\"\(Self.text(place.x - 4))\" y=\"\(Self.text(place.y - 4))\" width=\"8\" height=\"8\" class=\"third\"/>"
            )
        case .ink, .quiet, .grid, .first:
            elements.append("<circle cx=\"\(x)\" cy=\"\(y)\" r=\"4.5\" class=\"\(paint.rawValue)\"/>")
        }
    }

    mutating func write(
        _ words: String,
        at place: (x: Double, y: Double),
        size: Double = 12,
        isBold: Bool = false,
        _ paint: Paint = .ink,
        _ anchor: Anchor = .start
    ) {
        elements.append(
            """
            <text x="\(Self.text(place.x))" y="\(Self.text(place.y))" font-size="\(Self.text(size))" \
            class="\(paint.rawValue)" text-anchor="\(anchor.rawValue)"\(isBold ? " font-weight=\"600\"" : "")>\(Self.escaped(words))</text>
            """
        )
    }

    // MARK: The file

    var document: String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.text(width)) \(Self.text(height))" \
        width="\(Self.text(width))" height="\(Self.text(height))" role="img" font-family="system-ui, -apple-system, 'Segoe UI', \
        'DejaVu Sans', sans-serif">
        <title>\(Self.escaped(title))</title>
        <desc>\(Self.escaped(summary))</desc>
        <style>
        .paper { fill: #ffffff } .ink { fill: #1f2328 } .quiet { fill: #57606a }
        .first { fill: #0b62c4 } .second { fill: #b4490b } .third { fill: #2f7d4f }
        .grid-line { stroke: #d8dee4 } .ink-line { stroke: #1f2328 } .quiet-line { stroke: #8c959f }
        .first-line { stroke: #0b62c4 } .second-line { stroke: #b4490b } .third-line { stroke: #2f7d4f }
        @media (prefers-color-scheme: dark) {
        .paper { fill: #0d1117 } .ink { fill: #e6edf3 } .quiet { fill: #9ea7b3 }
        .first { fill: #6cb0ff } .second { fill: #ffa263 } .third { fill: #6fd694 }
        .grid-line { stroke: #2b323b } .ink-line { stroke: #e6edf3 } .quiet-line { stroke: #768390 }
        .first-line { stroke: #6cb0ff } .second-line { stroke: #ffa263 } .third-line { stroke: #6fd694 }
        }
        </style>
        <rect width="100%" height="100%" class="paper"/>
        \(elements.joined(separator: "\n"))
        </svg>

        """
    }

    func write(to path: String) throws {
        try Data(document.utf8).write(to: URL(filePath: path))
    }

    static func width(of words: String, size: Double = 12) -> Double {
        Double(words.count) * size * characterWidth
    }

    /// A number as the file has it: at most two digits behind the point, and none where they are 0.
    private static func text(_ number: Double) -> String {
        let text = Bar.text(abs(number))
        let short =
            text.hasSuffix(".00") ? String(text.dropLast(3)) : text.hasSuffix("0") ? String(text.dropLast()) : text
        return number < 0 && short != "0" ? "-\(short)" : short
    }

    private static func escaped(_ words: String) -> String {
        words.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}
