// The part of sd_notify(3) and sd_watchdog_enabled(3) that a service needs, without libsystemd: a few datagrams, whose format
// systemd promises to keep. Rejected: linking libsystemd, which would make every user of the executable need it.

import Glibc

/// The service manager that started this process and wants to be told how it is.
public struct ServiceManager: Sendable {
    /// How long the manager waits for a sign of life before it ends the process; nil where it does not.
    public let watchdogInterval: Duration?
    private let socket: NotifySocket

    /// The manager, by the environment, of which nothing is left for children: what they would tell is not ours to say.
    ///
    /// Call it before there are other threads: they may read the environment while it changes.
    ///
    /// - Returns: nil where no manager wants to be told anything.
    /// - Throws: ``SystemdError`` where the environment names no socket, or no time.
    public static func takeFromEnvironment() throws(SystemdError) -> ServiceManager? {
        let names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]
        var variables: [String: String] = [:]
        for name in names {
            if let value = getenv(name) { variables[name] = String(cString: value) }
            unsetenv(name)
        }
        return try ServiceManager(variables, processID: getpid())
    }

    /// The same, of other variables and another process.
    init?(_ variables: [String: String], processID: pid_t) throws(SystemdError) {
        guard let name = variables["NOTIFY_SOCKET"], !name.isEmpty else { return nil }
        socket = try NotifySocket(name)
        watchdogInterval = try Self.watchdogInterval(variables, processID: processID)
    }

    private static func watchdogInterval(
        _ variables: [String: String],
        processID: pid_t
    ) throws(SystemdError) -> Duration? {
        guard let text = variables["WATCHDOG_USEC"], !text.isEmpty else { return nil }
        // The variables are inherited: it is somebody else who is watched, if it is not us.
        if let watched = variables["WATCHDOG_PID"], !watched.isEmpty, watched != "\(processID)" { return nil }
        guard let microseconds = Int64(text), microseconds > 0 else {
            throw SystemdError("WATCHDOG_USEC \"\(text)\" is no number of microseconds")
        }
        return .microseconds(microseconds)
    }

    /// Tells the manager some things at once, without waiting for it.
    ///
    /// - Throws: ``SystemdError``; the same may be told again later.
    public func notify(_ notifications: [ServiceNotification]) throws(SystemdError) {
        try socket.send(notifications.map(\.text).joined(separator: "\n"))
    }
}
