import CLibPQ
import Logging

/// Owns a `PGconn`, from the start of connecting to its end.
///
/// `@unchecked Sendable` because the pointer is used by the jobs of one `ConnectionThread` only, and by `deinit`, when
/// nobody else is left to use it.
final class ConnectionHandle: @unchecked Sendable {
    /// The connection, until it is finished.
    ///
    /// A raw pointer because libpq's type is opaque to everyone.
    private(set) var pointer: OpaquePointer?
    /// Where notices go; kept as long as libpq holds a pointer to it.
    let notices: NoticeSink

    init(_ pointer: OpaquePointer, logger: Logger) {
        self.pointer = pointer
        self.notices = NoticeSink(logger: logger)
        // libpq gets an unretained pointer because the sink lives as long as this handle, and the connection does not
        // outlive it.
        let sink = Unmanaged.passUnretained(notices).toOpaque()
        PQsetNoticeReceiver(
            pointer,
            { sink, result in
                guard let sink, let result else { return }
                Unmanaged<NoticeSink>.fromOpaque(sink).takeUnretainedValue().receive(result)
            },
            sink
        )
    }

    deinit {
        finish()
    }

    /// Says goodbye to the server, closes the socket and frees everything.
    ///
    /// Does not block: nothing is waited for.
    func finish() {
        guard let pointer else { return }
        self.pointer = nil
        PQfinish(pointer)
    }
}

/// Takes what the server says without being asked: to the log, at debug.
final class NoticeSink: Sendable {
    let logger: Logger
    /// The server's word on why it ends the session, which libpq reports as a notice when no statement is under way.
    private let lastWords = Locked<ServerMessage?>(nil)

    init(logger: Logger) {
        self.logger = logger
    }

    var farewell: ServerMessage? {
        lastWords.withLock { $0 }
    }

    func receive(_ result: OpaquePointer) {
        let notice = ServerMessage(result)
        if notice.endsSession { lastWords.withLock { $0 = notice } }
        logger.debug(
            "Postgres notice",
            metadata: [
                "severity": "\(notice.severity ?? "")", "sqlstate": "\(notice.sqlState?.rawValue ?? "")",
                "message": "\(Redaction.redacting(notice.message))",
            ]
        )
    }
}
