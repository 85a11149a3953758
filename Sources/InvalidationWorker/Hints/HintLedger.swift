// What was bumped ahead of the pass that claims it, and what a pass may leave out for that.
//
// A pass bumps a scope because a load may have missed a change: it read the generations before the change was visible, and could store
// what it read after the last bump. Any bump after the change was visible keeps it from that. A hint is heard when its row is visible,
// so a bump for it is such a bump: of what the row by itself invalidates, if the dataset holds it.
//
// So of each row that a pass has claimed, what was bumped for that very row is left out, under these conditions:
//
// * The rows of the batch invalidate by themselves what they do together. Where two change one workflow, the scopes that follow from
//   both may stand with one of them only, and that one may have been bumped before the other was visible.
// * The head says that the dataset holds the bumps: by the ``HintMark``, which the script of the pass compares. A dataset that was
//   restored, promoted or resynchronised since has an earlier mark, or one of another chain.
// * No chain was broken since the bump: whatever was bumped before is forgotten then.

import Keyspace
import NIOConcurrencyHelpers
import OrderedCollections

/// What hints have had bumped, between the lane that does it and the pump that claims the rows.
final class HintLedger: Sendable {
    /// A bucket of a cache.
    struct Place: Hashable, Sendable {
        var cache: String
        var bucket: Int
    }

    /// What was bumped for one row.
    private struct Bumped {
        var scopes: ScopeSet
        var marks: [Place: HintMark]
        var at: ContinuousClock.Instant
        var count: Int64
    }

    private struct State {
        var isListening = false
        var bumped: OrderedDictionary<String, Bumped> = [:]
        var claimed: OrderedSet<String> = []
        var chains: [Place: HintMark] = [:]
    }

    /// How many rows are remembered that are not claimed yet, and that are.
    ///
    /// What is forgotten is bumped once more.
    private static let rowsKept = 10_000

    private let state = NIOLockedValueBox(State())

    /// Whether rows are bumped as they are heard of, so that a claim need not hurry.
    var isListening: Bool { state.withLockedValue { $0.isListening } }

    /// Begins to bump, or ends; what was bumped before counts no longer.
    func listens(_ isListening: Bool) {
        state.withLockedValue { state in
            state = State()
            state.isListening = isListening
        }
    }

    /// Forgets whatever was bumped, so that the next pass bumps it again.
    func forget() {
        state.withLockedValue { state in
            state.bumped = [:]
            state.chains = [:]
        }
    }

    /// Whether a row was claimed already.
    func isClaimed(_ id: String) -> Bool {
        state.withLockedValue { $0.claimed.contains(id) }
    }

    /// Where the chain of a bucket stands; nil where it has to be begun.
    func mark(of place: Place) -> HintMark? {
        state.withLockedValue { $0.chains[place] }
    }

    /// Notes what was bumped for some rows, and where that has left the chains.
    ///
    /// - Parameter count: How many generations were raised.
    func note(
        _ rows: [(id: String, scopes: ScopeSet)],
        _ marks: [Place: HintMark],
        at moment: ContinuousClock.Instant,
        count: Int64
    ) {
        state.withLockedValue { state in
            // A chain that begins: the head was not as the last bump had left it.
            if marks.contains(where: { place, mark in state.chains[place].map { $0.chain != mark.chain } ?? false }) {
                state.bumped = [:]
                state.chains = [:]
            }
            for (place, mark) in marks { state.chains[place] = mark }
            for (index, row) in rows.enumerated() where !state.claimed.contains(row.id) {
                state.bumped[row.id] = Bumped(scopes: row.scopes, marks: marks, at: moment, count: index == 0 ? count : 0)
            }
            while state.bumped.count > Self.rowsKept { state.bumped.removeFirst() }
        }
    }

    /// What a pass may leave out of what its claim invalidates; nil for nothing.
    func coverage(of claim: CacheClaim) -> HintCoverage? {
        guard case .changes(let changes) = claim.backlog, !changes.isEmpty,
            let rules = Caches.all.first(where: { $0.name == claim.cache }) as? any HintRules
        else { return nil }
        let ids = changes.compactMap(\.hint)
        let known = state.withLockedValue { state -> [String: Bumped] in
            state.claimed.append(contentsOf: ids)
            while state.claimed.count > Self.rowsKept { state.claimed.removeFirst() }
            var known: [String: Bumped] = [:]
            for id in ids { known[id] = state.bumped.removeValue(forKey: id) }
            return known
        }
        guard !known.isEmpty, rules.areIndependent(changes), let own = claim.scopesByChange else { return nil }
        var coverage = HintCoverage()
        for (change, scopes) in zip(changes, own) {
            guard let id = change.hint, let bumped = known[id] else {
                coverage.rest.formUnion(scopes)
                continue
            }
            coverage.rest.formUnion(scopes.subtracting(bumped.scopes))
            coverage.bumpCount += bumped.count
            coverage.lastBump = coverage.lastBump.map { max($0, bumped.at) } ?? bumped.at
            for (place, mark) in bumped.marks where place.cache == claim.cache {
                let known = coverage.marks[place.bucket]
                coverage.marks[place.bucket] = known.map { $0.number > mark.number ? $0 : mark } ?? mark
            }
        }
        return coverage
    }
}

/// What a pass leaves out because it was bumped before.
struct HintCoverage: Equatable, Sendable {
    /// What is left to bump.
    var rest = ScopeSet()
    /// By bucket, what the head must have reached.
    var marks: [Int: HintMark] = [:]
    /// When the last of what is left out was bumped.
    var lastBump: ContinuousClock.Instant?
    /// How many generations were raised for it.
    var bumpCount: Int64 = 0
}

extension HintRules {
    /// Whether no two rows change the same.
    fileprivate func areIndependent(_ rows: [JournalRow]) -> Bool {
        var seen: Set<Int64> = []
        for row in rows {
            for subject in subjects(of: row) where !seen.insert(subject).inserted { return false }
        }
        return true
    }
}
