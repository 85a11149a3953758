// What every error of the parts means to the person at the command line.

import Audit
import InvalidationWorker
import Keyspace
import LocalServices
import Migrations
import Postgres
import Redis

extension Failure {
    /// The line and the status of any error.
    init(classifying error: any Error) {
        switch error {
        case let failure as Failure: self = failure
        case let error as PostgresError: self.init(postgres: error)
        case let error as RedisError: self.init(redis: error)
        case let error as RedisServerError: self.init(redisServer: error)
        case let error as RedisURLError: self.init(.configuration, "\(error)")
        case let error as InvalidCacheNamespace: self.init(.configuration, "\(error)")
        case let error as WorkerError: self.init(worker: error)
        case let error as AuditError:
            self.init(error.code == .unexpectedAnswer ? .defect : .configuration, "\(error)")
        case let error as LocalServiceError: self.init(localService: error)
        case let error as MigrationError: self.init(migration: error)
        default:
            self.init(.defect, "unexpected error: \(error); please report it, with the command that led to it")
        }
    }

    private init(postgres error: PostgresError) {
        let status: ExitStatus =
            switch error.code {
            case .invalidConfiguration, .databaseMissing, .tlsFailed: .configuration
            case .authenticationFailed: .permission
            case .cannotConnect, .tooManyConnections, .startingOrStopping, .unsuitableServer, .connectionLost,
                .timedOut,
                .resourcesExhausted:
                .unreachable
            case .server: error.sqlState.map(Self.status(of:)) ?? .defect
            default: .defect
            }
        self.init(status, Self.text(of: error, status: status))
    }

    /// What the server's refusal of a statement means.
    private static func status(of sqlState: SQLState) -> ExitStatus {
        switch sqlState {
        case .insufficientPrivilege, .invalidPassword, .invalidAuthorization: return .permission
        case .undefinedTable, .undefinedColumn, .undefinedFunction, .undefinedObject, .invalidSchemaName,
            .featureNotSupported, .objectNotInPrerequisiteState, .raiseException, .readOnlyTransaction,
            .datatypeMismatch, .wrongObjectType, .invalidParameterValue:
            return .configuration
        case .lockNotAvailable: return .unreachable
        default: break
        }
        // Connection trouble, rollbacks that the server decided on, lack of resources, an operator stepping in.
        if ["08", "40", "53", "57", "58"].contains(sqlState.conditionClass) { return .unreachable }
        return sqlState.conditionClass == "28" ? .permission : .defect
    }

    private static func text(of error: PostgresError, status: ExitStatus) -> String {
        var text = "\(error)"
        if let sqlState = error.sqlState, isMissingSchema(error, sqlState) {
            text += "; run freshet migrate, in this database"
        } else if let hint = error.hint, hint.contains("freshet.") {
            text += "; \(hint)"
        } else if error.sqlState == .undefinedTable || error.sqlState == .undefinedColumn {
            text += "; name your tables with --workflow-table and --link-table, and give them the usual columns"
        } else if let hint = error.hint {
            text += "; \(hint)"
        } else if error.code == .server && status == .permission {
            text +=
                "; grant this role freshet_worker (run, status, invalidate), freshet_reader (lookup) or freshet_auditor "
                + "(audit), and SELECT on the application's tables (lookup, audit)"
        }
        return text
    }

    private static func isMissingSchema(_ error: PostgresError, _ sqlState: SQLState) -> Bool {
        [.undefinedTable, .undefinedFunction, .invalidSchemaName].contains(sqlState)
            && error.message.contains("freshet")
    }

    private init(redis error: RedisError) {
        let status: ExitStatus =
            switch error.code {
            case .authenticationFailed: .permission
            case .cannotConnect, .connectionLost, .timedOut: .unreachable
            case .protocolViolation: .configuration
            default: .defect
            }
        self.init(status, error.message)
    }

    private init(redisServer error: RedisServerError) {
        switch error.code {
        case .authenticationRequired, .wrongPassword, .permissionDenied:
            self.init(
                .permission,
                "Redis refuses: \(error); give --redis a user that may do this, or grant it (ACL SETUSER)"
            )
        case .readOnly:
            self.init(.configuration, "Redis refuses: \(error); give --redis the primary's address")
        case .loading, .busy, .primaryDown, .outOfMemory, .misconfigured, .clusterDown, .tooFewReplicas, .tryAgain:
            self.init(.unreachable, "Redis refuses: \(error); try again when it has recovered")
        case .moved, .ask, .crossSlot:
            self.init(
                .configuration,
                "Redis refuses: \(error); a cluster is not supported, give --redis a single server"
            )
        default:
            self.init(.defect, "Redis refuses: \(error); please report it, with the command that led to it")
        }
    }

    private init(worker error: WorkerError) {
        switch error.code {
        case .pooled, .schemaMissing, .namespaceTaken: self.init(.configuration, "\(error)")
        case .notAPrimary: self.init(.unreachable, "\(error)")
        default: self.init(.defect, "\(error)")
        }
    }

    private init(localService error: LocalServiceError) {
        self.init(error.code == .misuse ? .defect : .unreachable, "\(error)")
    }

    private init(migration error: MigrationError) {
        if let cause = error.underlying, error.code != .locked {
            self.init(Failure(classifying: cause).status, error.message)
        } else {
            self.init(error.code == .locked ? .unreachable : .configuration, error.message)
        }
    }
}
