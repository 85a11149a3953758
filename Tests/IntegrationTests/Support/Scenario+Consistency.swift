import Freshet
import Testing

extension Scenario {
    /// Holds what readers see against what the database answers: every detector, globally and in every environment.
    ///
    /// Nothing may be changing meanwhile. What it reads is cached afterwards.
    ///
    /// - Returns: How many of the sets came from the cache, and how many of the answers were wrong.
    @discardableResult
    func expectConsistent(
        detectors: [Int64],
        environments: [Int64],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> (hits: Int, mistakes: Int) {
        var hits = 0
        var mistakes = 0
        let keys = detectors.flatMap { detector in
            [DetectorWorkflowsKey(detectorID: detector, environment: .global)]
                + environments.map { DetectorWorkflowsKey(detectorID: detector, environment: .environment($0)) }
        }
        let truth = try await truth(keys)
        for environment in environments {
            let answer = try await lookup.workflows(ofDetectors: detectors, in: .environment(environment))
            for found in answer.detectors {
                let global = truth[DetectorWorkflowsKey(detectorID: found.id, environment: .global)] ?? []
                let own =
                    truth[DetectorWorkflowsKey(detectorID: found.id, environment: .environment(environment))] ?? []
                hits += [found.global, found.environment].count { $0 == .hit }
                if found.workflows.map(\.id) != (global + own).sorted() { mistakes += 1 }
                #expect(
                    found.workflows.map(\.id) == (global + own).sorted(),
                    "detector \(found.id), environment \(environment), from \(found.global) and \(String(describing: found.environment))",
                    sourceLocation: sourceLocation
                )
            }
        }
        return (hits, mistakes)
    }
}
