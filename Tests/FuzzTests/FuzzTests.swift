import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Everything that parses bytes from outside, on sound inputs that were broken by a seed.
///
/// The same inputs each time, unless the environment says otherwise: `FRESHET_FUZZ_SEED` is the seed, `FRESHET_FUZZ_COUNT` the
/// number of inputs for each target, and `FRESHET_FUZZ_TRACE=1` names each input before it is parsed, for one that traps.
///
/// One at a time, and with breaks, so that the other tests of the process have a thread.
@Suite(.serialized) struct FuzzTests {
    private static func setting<Value: LosslessStringConvertible>(_ name: String) -> Value? {
        ProcessInfo.processInfo.environment[name].flatMap { Value($0) }
    }

    private static let seed: UInt64 = setting("FRESHET_FUZZ_SEED") ?? 20_260_101
    private static let count: Int = setting("FRESHET_FUZZ_COUNT") ?? 2_000
    private static let isTraced = setting("FRESHET_FUZZ_TRACE") == 1

    @Test(arguments: FuzzTarget.all)
    func `what arrives is read, or refused, and nothing else happens`(_ target: FuzzTarget) async {
        var mutator = Mutator(seed: Self.seed)
        var readCount = 0
        let start = ContinuousClock.now
        for number in 0..<Self.count {
            if number.isMultiple(of: 25) { await Task.yield() }
            let input = mutator.input(for: target)
            if Self.isTraced { print("\(target) \(number): \(Self.shown(input))") }
            // One record of an issue, not one expectation for each input: those would take most of the time.
            do {
                if try target.parse(input) { readCount += 1 }
            } catch {
                Issue.record(
                    "\(target): \(error)\nFRESHET_FUZZ_SEED=\(Self.seed), input \(number): \(Self.shown(input))"
                )
                return
            }
        }
        if Self.isTraced { print("\(target): \(readCount) were read, in \(start.duration(to: .now))") }
        // Else the inputs are all broken beyond recognition.
        #expect(readCount > Self.count / 200, "\(readCount) were read")
    }

    @Test(arguments: FuzzTarget.all)
    func `sound inputs are read`(_ target: FuzzTarget) throws {
        for input in target.sound { #expect(try target.parse(input), "\(Self.shown(input))") }
        #expect(Set(FuzzTarget.all.map(\.name)).count == FuzzTarget.all.count)
    }

    #if canImport(Glibc)
        /// In a process of its own, which may not take more memory than a little beyond what it has.
        @Test func `a length that lies takes no memory`() async throws {
            let log = URL(filePath: "\(NSTemporaryDirectory())/freshet-fuzz-\(UInt64.random(in: .min ... .max))").path()
            try Data().write(to: URL(filePath: log))
            defer { unlink(log) }
            let success = await #expect(processExitsWith: .success) { [log = log as String] in
                var limit = rlimit()
                getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
                limit.rlim_cur = try rlim_t(Self.addressSpace()) + 256 << 20
                try #require(setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0)
                let descriptor = open(log, O_WRONLY)
                for target in FuzzTarget.all {
                    for input in Self.lies(of: target) {
                        // It may be the last word of this process.
                        let words = "\(target): \(Self.shown(input))\n"
                        ftruncate(descriptor, 0)
                        pwrite(descriptor, words, words.utf8.count, 0)
                        _ = try target.parse(input)
                    }
                }
            }
            if success == nil { Issue.record("the last: \(try String(contentsOfFile: log, encoding: .utf8))") }
        }

        /// How much memory this process has, in bytes, touched or not.
        private static func addressSpace() throws -> Int {
            let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
            return try #require(fields.first.flatMap { Int($0) }) * sysconf(Int32(_SC_PAGESIZE))
        }
    #endif

    /// The sound inputs of a target, in which each number in turn is as large as can be.
    private static func lies(of target: FuzzTarget) -> [[UInt8]] {
        target.sound.flatMap { sound -> [[UInt8]] in
            let binary = sound.indices.dropLast(3).map { place in
                var bytes = sound
                bytes.replaceSubrange(place..<place + 4, with: [0xFF, 0xFF, 0xFF, 0x7F])
                target.repair?(&bytes)
                return bytes
            }
            let decimal = sound.indices.filter { (0x30...0x39).contains(sound[$0]) }.flatMap { place in
                ["2147483647", "4194303", "99999999999"].map { number in
                    Array(sound[..<place]) + Array(number.utf8) + Array(sound[(place + 1)...])
                }
            }
            return binary + decimal
        }
    }

    private static func shown(_ bytes: [UInt8]) -> String {
        "\(String(decoding: bytes.prefix(2_000), as: UTF8.self).debugDescription), in base64 \(Data(bytes).base64EncodedString())"
    }
}
