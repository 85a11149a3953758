import Keyspace
import NIOConcurrencyHelpers

/// The namespaces that the caches of a process use, each once.
///
/// Two caches of one namespace would read each other's entries with different codecs, load the same value twice, and count
/// everything twice.
public final class CacheRegistry: Sendable {
    /// The registry of this process.
    public static let process = CacheRegistry()

    private let namespaces = NIOLockedValueBox<Set<String>>([])

    /// A registry of its own, for tests that stand in for several processes.
    public init() {}

    /// Takes a namespace, until the registration is let go.
    func register(_ namespace: CacheNamespace) throws(CacheError) -> Registration {
        let name = namespace.description
        guard namespaces.withLockedValue({ $0.insert(name).inserted }) else {
            throw CacheError(
                .namespaceInUse,
                "namespace \(name): a cache of this process uses it already; share that one, or give this one another name"
            )
        }
        return Registration(name: name, registry: self)
    }

    /// Gives the namespace back at its end.
    final class Registration: Sendable {
        private let name: String
        private let registry: CacheRegistry

        fileprivate init(name: String, registry: CacheRegistry) {
            self.name = name
            self.registry = registry
        }

        deinit {
            let name = name
            registry.namespaces.withLockedValue { _ = $0.remove(name) }
        }
    }
}
