#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

/// A detector, with the columns of the table `workflow_engine_detector`.
public struct Detector: Hashable, Sendable, Identifiable {
    /// `id`.
    public var id: Int64
    /// `name`.
    public var name: String
    /// `type`.
    public var type: String
    /// `enabled`.
    public var isEnabled: Bool
    /// `status`.
    public var status: Int16
    /// `config`, as the text of a JSON value; see ``decodeConfig(as:)``.
    public var config: String
    /// `description`.
    public var description: String?
    /// `owner_user_id`.
    public var ownerUserID: Int64?
    /// `owner_team_id`.
    public var ownerTeamID: Int64?
    /// `created_by_id`.
    public var createdByID: Int64?
    /// `workflow_condition_group_id`.
    public var workflowConditionGroupID: Int64?
    /// `project_id`.
    public var projectID: Int64?
    /// `date_added`, to the microsecond.
    public var dateAdded: Date
    /// `date_updated`, to the microsecond.
    public var dateUpdated: Date

    /// A detector of all its columns.
    public init(
        id: Int64,
        name: String,
        type: String,
        isEnabled: Bool,
        status: Int16,
        config: String,
        description: String?,
        ownerUserID: Int64?,
        ownerTeamID: Int64?,
        createdByID: Int64?,
        workflowConditionGroupID: Int64?,
        projectID: Int64?,
        dateAdded: Date,
        dateUpdated: Date
    ) {
        self.id = id
        self.name = name
        self.type = type
        self.isEnabled = isEnabled
        self.status = status
        self.config = config
        self.description = description
        self.ownerUserID = ownerUserID
        self.ownerTeamID = ownerTeamID
        self.createdByID = createdByID
        self.workflowConditionGroupID = workflowConditionGroupID
        self.projectID = projectID
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
