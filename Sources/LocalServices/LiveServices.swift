// What must not outlive this process.
//
// Three nets, one below the other:
// 1. `destroy()` of each server, which the owner calls.
// 2. `exit()`, also by returning from main: a handler ends the servers that are left and deletes their folders. This is
//    what cleans up after servers that many tests share, since nobody knows which test is the last.
// 3. Death by a signal: the kernel sends each server its death signal (see Daemon). Folders stay behind then, as no code
//    of ours runs. A program that wants nothing left after SIGINT or SIGTERM handles them and calls `destroy()`, or
//    `LocalServices.destroyAll()`.

import Dispatch
import Glibc
import Synchronization

/// All servers and folders of this process.
final class LiveServices: Sendable {
    static let shared: LiveServices = {
        atexit { LiveServices.shared.destroyAll() }
        return LiveServices()
    }()

    private struct State {
        var folders: Set<String> = []
        var daemons: [ObjectIdentifier: Daemon] = [:]
    }

    private let state = Mutex(State())

    func add(folder: String) {
        state.withLock { _ = $0.folders.insert(folder) }
    }

    func remove(folder: String) {
        state.withLock { _ = $0.folders.remove(folder) }
    }

    func add(_ daemon: Daemon) {
        state.withLock { $0.daemons[ObjectIdentifier(daemon)] = daemon }
    }

    func remove(_ daemon: Daemon) {
        state.withLock { _ = $0.daemons.removeValue(forKey: ObjectIdentifier(daemon)) }
    }

    func destroyAll() {
        let daemons = state.withLock { Array($0.daemons.values) }
        for daemon in daemons { daemon.end() }
        let deadline = DispatchTime.now() + .seconds(5)
        let stubborn = daemons.filter { !$0.blockUntilEnded(deadline) }
        for daemon in stubborn { daemon.kill() }
        let lastDeadline = DispatchTime.now() + .seconds(5)
        for daemon in stubborn { _ = daemon.blockUntilEnded(lastDeadline) }
        let folders = state.withLock { $0.folders }
        for folder in folders where removeTree(folder) {
            remove(folder: folder)
        }
    }
}

/// The private servers of this process, taken together.
public enum LocalServices {
    /// Ends every server that this process started and deletes their folders.
    ///
    /// Blocks the thread, for 10 s at most. It runs at `exit()` anyway. A program calls it where it leaves in another way, for example on SIGTERM.
    public static func destroyAll() {
        LiveServices.shared.destroyAll()
    }
}
