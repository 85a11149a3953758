import Keyspace
import Testing

@testable import Audit

/// Each case of the design comment of Verdict.swift.
@Suite struct VerdictTests {
    private static let here = "7000/1/token"
    private static let elsewhere = "7000/2/other"
    private let name = EntryName(entity: Entity(1), variant: Variant(5))
    private let lifetime = Duration.seconds(60)

    private func generation(_ counter: UInt64) -> Generation { Generation(counter: counter, nonce: counter) }

    /// A reading of an entry that was loaded under the generations 1, 1 and none.
    ///
    /// - Parameters:
    ///   - generations: Those of now: namespace, entity, variant; 0 stands for none.
    ///   - load: Tells fills of the same generations apart.
    ///   - applied: What the head says; nil says nothing.
    private func reading(
        _ generations: (UInt64, UInt64, UInt64) = (1, 1, 0),
        load: Int64 = 1_000_000,
        applied: String? = "10:10:",
        postgres: String? = here,
        content: EntryReading.Content? = nil,
        time: Int64 = 2_000_000
    ) -> EntryReading {
        var head = Head.absent
        head.generation = generations.0 == 0 ? nil : generation(generations.0)
        head.postgres = postgres
        head.snapshot = applied.flatMap { TransactionSnapshot($0) }
        let stamp = EntryStamp(
            namespace: generation(1),
            entity: generation(1),
            variant: nil,
            readAt: RedisTime(microseconds: load)
        )
        return EntryReading(
            generations: Generations(
                namespace: head.generation,
                entity: generations.1 == 0 ? nil : generation(generations.1),
                variant: generations.2 == 0 ? nil : generation(generations.2)
            ),
            content: content ?? .entry(Entry(stamp: stamp, payload: [1, 2, 3])),
            head: head,
            time: RedisTime(microseconds: time)
        )
    }

    private func inquiry(_ first: EntryReading? = nil) throws -> Inquiry {
        try #require(Inquiry(name, first ?? reading(), timeToLive: lifetime))
    }

    private func truth(
        equal: Bool = false,
        postgres: String? = here,
        upTo: String? = "20:20:",
        journaled: Bool = false
    ) -> Truth {
        Truth(
            isEqual: equal,
            postgres: postgres,
            upTo: equal ? nil : upTo.flatMap { TransactionSnapshot($0) },
            isJournaled: journaled
        )
    }

    // MARK: Which entries count

    @Test func `an entry that no reader would be served is not asked about`() {
        let notServed = [
            reading((2, 1, 0)), reading((1, 2, 0)), reading((1, 1, 1)), reading((1, 0, 0)), reading(content: .absent),
            reading(content: .damaged), reading(time: 62_000_000),
        ]
        for reading in notServed { #expect(Inquiry(name, reading, timeToLive: lifetime) == nil) }
        #expect(Inquiry(name, reading(), timeToLive: lifetime)?.step == .loadTruth)
    }

    // MARK: Consistent

    @Test func `an entry that the database holds is consistent, whatever has been applied`() throws {
        var inquiry = try inquiry(reading(applied: nil))
        #expect(inquiry.take(truth(equal: true)) == .settled(.consistent))
    }

    @Test func `equality says nothing where another Postgres than the head's has answered`() throws {
        let pairs: [(String?, String?)] = [
            (Self.here, Self.elsewhere), (nil, Self.here), (Self.here, nil), ("replica", "replica"),
        ]
        for (head, answer) in pairs {
            var inquiry = try inquiry(reading(postgres: head))
            #expect(inquiry.take(truth(equal: true, postgres: answer)) == .readAgain)
            #expect(inquiry.take(reading(applied: "30:30:", postgres: head)) == .readAgain)
            #expect(inquiry.giveUp() == .undecided(.otherPostgres))
        }
    }

    @Test func `equality counts once the head is of the Postgres that has answered`() throws {
        var inquiry = try inquiry(reading(postgres: nil))
        #expect(inquiry.take(truth(equal: true)) == .readAgain)
        #expect(inquiry.take(reading()) == .settled(.consistent))
    }

    // MARK: Inconsistent

    @Test func `an entry that stands though all that the database shows was applied is inconsistent`() throws {
        var inquiry = try inquiry()
        #expect(inquiry.take(truth()) == .readAgain)
        #expect(inquiry.take(reading(applied: "20:20:")) == .settled(.inconsistent))
    }

    @Test func `the first reading never convicts, though its head may cover the snapshot`() throws {
        var inquiry = try inquiry(reading(applied: "20:20:"))
        #expect(inquiry.take(truth()) == .readAgain)
    }

    @Test func `a row of the journal excuses nothing that was applied`() throws {
        var inquiry = try inquiry()
        _ = inquiry.take(truth(journaled: true))
        #expect(inquiry.take(reading(applied: "20:20:")) == .settled(.inconsistent))
    }

    // MARK: In flight

    @Test func `an entry whose generations have moved was in flight, at each of the three levels`() throws {
        for moved: (UInt64, UInt64, UInt64) in [(2, 1, 0), (1, 2, 0), (1, 1, 1)] {
            var inquiry = try inquiry()
            _ = inquiry.take(truth())
            // Also where the head has come to cover the snapshot, in the same reading.
            #expect(inquiry.take(reading(moved, applied: "20:20:")) == .settled(.inFlight(.invalidated)))
        }
    }

    @Test func `a paused worker leaves an entry in flight that the journal explains, and else undecided`() throws {
        for (isJournaled, verdict) in [
            (true, Verdict.inFlight(.journaled)), (false, .undecided(.notApplied)),
        ] {
            var inquiry = try inquiry()
            _ = inquiry.take(truth(journaled: isJournaled))
            #expect(inquiry.take(reading()) == .readAgain)
            #expect(inquiry.take(reading()) == .readAgain)
            #expect(inquiry.giveUp() == verdict)
        }
    }

    @Test func `a transaction that the database shows and the head does not is waited for`() throws {
        // The truth shows 12 while 11 goes on.
        for (applied, isCovered) in [
            (nil, false), ("10:10:", false), ("11:13:11", true), ("11:13:11,12", false), ("12:13:12", false),
            ("13:13:", true), ("11:20:11", true),
        ] as [(String?, Bool)] {
            var inquiry = try inquiry()
            _ = inquiry.take(truth(upTo: "11:13:11"))
            let step = inquiry.take(reading(applied: applied))
            #expect(step == (isCovered ? .settled(.inconsistent) : .readAgain), "\(applied ?? "none")")
        }
    }

    // MARK: What happens meanwhile

    @Test func `a dataset that was restored convicts nothing until its own head covers the snapshot`() throws {
        var inquiry = try inquiry(reading(applied: "15:15:"))
        _ = inquiry.take(truth())
        #expect(inquiry.take(reading(applied: "9:9:")) == .readAgain)
        // The worker finds that its mark is not there, and resets the namespace.
        #expect(inquiry.take(reading((2, 1, 0), applied: "21:21:")) == .settled(.inFlight(.invalidated)))
    }

    @Test func `the head of another Postgres convicts nothing, whatever it has applied`() throws {
        var inquiry = try inquiry()
        _ = inquiry.take(truth())
        #expect(inquiry.take(reading(applied: "90:90:", postgres: Self.elsewhere)) == .readAgain)
        #expect(inquiry.giveUp() == .undecided(.otherPostgres))
    }

    @Test func `a load and a snapshot of two servers convict nothing`() throws {
        var inquiry = try inquiry()
        #expect(inquiry.take(truth(postgres: nil)) == .readAgain)
        #expect(inquiry.take(reading(applied: "90:90:")) == .readAgain)
    }

    @Test func `an entry that goes by itself is undecided`() throws {
        for gone in [
            reading((1, 0, 0)), reading((0, 1, 0)),
            reading(content: .absent), reading(content: .damaged), reading(time: 62_000_000),
        ] {
            var inquiry = try inquiry()
            _ = inquiry.take(truth())
            #expect(inquiry.take(gone) == .settled(.undecided(.vanished)))
        }
    }

    @Test func `an entry that was stored anew is begun with anew, and not for ever`() throws {
        var inquiry = try inquiry()
        _ = inquiry.take(truth())
        #expect(inquiry.take(reading(load: 1_000_001, applied: "20:20:")) == .loadTruth)
        #expect(inquiry.entry.stamp.readAt.microseconds == 1_000_001)
        #expect(inquiry.take(truth(equal: true)) == .settled(.consistent))

        var restless = try self.inquiry()
        var steps: [Inquiry.Step] = []
        for load in 1...6 as ClosedRange<Int64> {
            _ = restless.take(truth())
            steps.append(restless.take(reading(load: 1_000_000 + load)))
        }
        #expect(steps == Array(repeating: .loadTruth, count: 5) + [.settled(.undecided(.replaced))])
    }
}
