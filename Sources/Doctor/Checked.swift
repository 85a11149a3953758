/// Something that was looked up, or why it could not be.
package enum Checked<Value: Sendable>: Sendable {
    case known(Value)
    /// One line: a privilege that is missing, or what else is in the way.
    case unknown(String)

    /// The value, where there is one.
    package var value: Value? {
        if case .known(let value) = self { value } else { nil }
    }
}

extension Checked: Equatable where Value: Equatable {}
