#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

/// A workflow, with the columns of the table `workflow_engine_workflow`.
public struct Workflow: Hashable, Sendable, Identifiable {
    /// `id`.
    public var id: Int64
    /// `name`.
    public var name: String
    /// `enabled`: always true of a workflow that a lookup returns.
    public var isEnabled: Bool
    /// `status`.
    public var status: Int16
    /// `config`, as the text of a JSON value; see ``decodeConfig(as:)``.
    public var config: String
    /// `organization_id`.
    public var organizationID: Int64
    /// `environment_id`: nil for a global workflow, which runs for every environment.
    public var environmentID: Int64?
    /// `when_condition_group_id`.
    public var whenConditionGroupID: Int64?
    /// `owner_user_id`.
    public var ownerUserID: Int64?
    /// `owner_team_id`.
    public var ownerTeamID: Int64?
    /// `created_by_id`.
    public var createdByID: Int64?
    /// `date_added`, to the microsecond.
    public var dateAdded: Date
    /// `date_updated`, to the microsecond.
    public var dateUpdated: Date

    /// A workflow of all its columns.
    public init(
        id: Int64,
        name: String,
        isEnabled: Bool,
        status: Int16,
        config: String,
        organizationID: Int64,
        environmentID: Int64?,
        whenConditionGroupID: Int64?,
        ownerUserID: Int64?,
        ownerTeamID: Int64?,
        createdByID: Int64?,
        dateAdded: Date,
        dateUpdated: Date
    ) {
        self.id = id
        self.name = name
        self.isEnabled = isEnabled
        self.status = status
        self.config = config
        self.organizationID = organizationID
        self.environmentID = environmentID
        self.whenConditionGroupID = whenConditionGroupID
        self.ownerUserID = ownerUserID
        self.ownerTeamID = ownerTeamID
        self.createdByID = createdByID
        self.dateAdded = dateAdded
        self.dateUpdated = dateUpdated
    }

    /// The configuration as a type of yours.
    ///
    /// - Throws: `DecodingError` where the JSON is not of that type.
    public func decodeConfig<Config: Decodable>(as type: Config.Type = Config.self) throws -> Config {
        try JSONDecoder().decode(type, from: Data(config.utf8))
    }
}

extension Date {
    /// A moment by its microseconds since 1970.
    public init(microsecondsSince1970 microseconds: Int64) {
        let (seconds, fraction) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        self.init(timeIntervalSince1970: Double(seconds) + Double(fraction) / 1_000_000)
    }

    /// The moment in microseconds since 1970, rounded to the nearest and clamped to 64 bits.
    public var microsecondsSince1970: Int64 {
        let microseconds = (timeIntervalSince1970 * 1_000_000).rounded()
        return Int64(exactly: microseconds) ?? (microseconds < 0 ? .min : .max)
    }
}
