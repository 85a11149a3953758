/// How many changes a second were asked for, and how many were made on each side.
///
/// Clients wait for what a change of theirs leads to. Where that takes too long there are fewer changes: one side's times under a light
/// load would be held against the other's under a heavy one.
struct ChangeRate: Hashable, Sendable {
    var asked: Int
    var ours: Double
    var floor: Double

    /// The least share of what was asked for that both have to make.
    private static let leastShare = 0.9

    /// Whether both sides were under the load that was asked for.
    var isKept: Bool {
        let least = Self.leastShare * Double(asked)
        return ours >= least && floor >= least
    }

    /// Why figures are held to no bar; nil where they are.
    var reservation: String? {
        guard !isKept else { return nil }
        return "no bar: of \(asked) a second \(Bar.text(ours)) / \(Bar.text(floor)) were made"
    }
}
