public import Keyspace

/// For which environment a detector's workflows are asked.
///
/// Neither "every environment" nor "not given": a global workflow is one that belongs to no environment and runs for every.
public enum DetectorEnvironment: Hashable, Sendable {
    /// The workflows that belong to no environment.
    case global
    /// The workflows of one environment, without the global ones.
    case environment(Int64)

    /// The id as the column `environment_id` has it: nil for global.
    public var id: Int64? {
        switch self {
        case .global: nil
        case .environment(let id): id
        }
    }

    /// The variant under which the workflows are cached.
    public var variant: Variant {
        switch self {
        case .global: .global
        case .environment(let id): Variant(id)
        }
    }
}

/// One cached set: the enabled workflows of a detector that are global, or those of one environment.
public struct DetectorWorkflowsKey: Hashable, Sendable {
    /// The detector's id.
    public var detectorID: Int64
    /// Which of its sets.
    public var environment: DetectorEnvironment

    /// The set of a detector and an environment.
    public init(detectorID: Int64, environment: DetectorEnvironment) {
        self.detectorID = detectorID
        self.environment = environment
    }
}

extension DetectorWorkflowsKey: CustomStringConvertible {
    /// `<detector>/<variant>`.
    public var description: String { "\(detectorID)/\(environment.variant)" }
}
