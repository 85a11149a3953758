/// What a cache does while nobody vouches for what Redis holds, or while Redis does not answer.
///
/// | | nobody vouches (degraded) | Redis does not answer (unreachable) |
/// |---|---|---|
/// | ``serve(upTo:)`` | serves entries up to that age, loads the others | loads |
/// | ``bypass`` | loads | loads |
/// | ``fail`` | throws ``CacheError/Code/degraded`` | throws ``CacheError/Code/unreachable`` |
///
/// Loads are limited by ``LoadLimits`` in every case, so that losing Redis does not take Postgres with it.
public enum DegradationPolicy: Hashable, Sendable {
    /// Serve entries that are no older than this, counted from before their load; load the others.
    case serve(upTo: Duration)
    /// Serve nothing that nobody vouches for: load.
    case bypass
    /// Neither serve nor load: throw, for services that would rather say no than reach the database.
    case fail

    /// How old an entry may be that nobody vouches for.
    package var greatestAge: Duration {
        switch self {
        case .serve(let age): age
        case .bypass, .fail: .zero
        }
    }
}
