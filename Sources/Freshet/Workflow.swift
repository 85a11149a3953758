#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

/// A workflow, with the columns of the table `workflow_engine_workflow`.
///
/// A column is unpacked each time it is read, from the bytes that Redis sent: whoever reads a text or a date often keeps it. The
/// workflow itself keeps the piece of the reply that it came in, up to 16 KiB: whoever keeps a few of them for long keeps what they
/// need of each. Two workflows are equal if all columns are, texts byte for byte.
public struct Workflow: Hashable, Sendable, Identifiable {
    let record: WorkflowRecord

    init(_ record: WorkflowRecord) {
        self.record = record
    }

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
        record = WorkflowRecord(
            id: id,
            organizationID: organizationID,
            dateAdded: dateAdded.microsecondsSince1970,
            dateUpdated: dateUpdated.microsecondsSince1970,
            status: status,
            isEnabled: isEnabled,
            optionals: [environmentID, whenConditionGroupID, ownerUserID, ownerTeamID, createdByID],
            name: name,
            config: config
        )
    }

    /// `id`.
    public var id: Int64 { record.id }
    /// `name`.
    public var name: String { String(decoding: record.name, as: UTF8.self) }
    /// `enabled`: always true of a workflow that a lookup returns.
    public var isEnabled: Bool { record.isEnabled }
    /// `status`.
    public var status: Int16 { record.status }
    /// `config`, as the text of a JSON value; see ``decodeConfig(as:)``.
    public var config: String { String(decoding: record.config, as: UTF8.self) }
    /// `organization_id`.
    public var organizationID: Int64 { record.organizationID }
    /// `environment_id`: nil for a global workflow, which runs for every environment.
    public var environmentID: Int64? { record.optional(WorkflowRecord.Optionals.environmentID) }
    /// `when_condition_group_id`.
    public var whenConditionGroupID: Int64? { record.optional(WorkflowRecord.Optionals.whenConditionGroupID) }
    /// `owner_user_id`.
    public var ownerUserID: Int64? { record.optional(WorkflowRecord.Optionals.ownerUserID) }
    /// `owner_team_id`.
    public var ownerTeamID: Int64? { record.optional(WorkflowRecord.Optionals.ownerTeamID) }
    /// `created_by_id`.
    public var createdByID: Int64? { record.optional(WorkflowRecord.Optionals.createdByID) }
    /// `date_added`, to the microsecond.
    public var dateAdded: Date { Date(microsecondsSince1970: record.dateAdded) }
    /// `date_updated`, to the microsecond.
    public var dateUpdated: Date { Date(microsecondsSince1970: record.dateUpdated) }

    /// The configuration as a type of yours.
    ///
    /// - Throws: `DecodingError` where the JSON is not of that type.
    public func decodeConfig<Config: Decodable>(as type: Config.Type = Config.self) throws -> Config {
        try JSONDecoder().decode(type, from: Data(record.config))
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
