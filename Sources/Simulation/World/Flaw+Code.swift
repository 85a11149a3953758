extension Flaw {
    /// Those of Swift code: none in these sources.
    ///
    /// `deploy/simulate flaws` writes another one of this file into its copy.
    static let ofCode: [Flaw] = []

    /// Switches the flaw of some code on, and every other off.
    static func activate(_ flaw: Flaw?) {}
}
