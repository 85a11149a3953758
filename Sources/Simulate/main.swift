// What `deploy/simulate` runs.
//
//     Simulate [--seeds N] [--from SEED] [--flaw NAME]   plays schedules, and says what broke which invariant
//     Simulate --seed SEED [--flaw NAME]                 plays one, and prints what happened
//     Simulate … --brief                                 most of the schedules are brief
//     Simulate … --only INVARIANT                        nothing else is looked at
//     Simulate --flaws                                   the names of the flaws, one a line: name, limit of seeds, what is wrong
//     Simulate … --until-broken                          plays none after the first that breaks an invariant
//
// It ends with 1 where an invariant was broken.

import Simulation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

// Sets and dictionaries must have the same order in every run, or a seed would not replay. And a schedule gives back what it has
// allocated soon, so the allocator does well to keep much of it at hand: glibc keeps 7 pieces of each size unless told otherwise.
if getenv("SWIFT_DETERMINISTIC_HASHING") == nil {
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=1000", 0)
    var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
    execv("/proc/self/exe", &arguments)
    perror("simulate")
    exit(71)
}

func refuse(_ text: String) -> Never {
    var line = "simulate: \(text)\n"
    _ = line.withUTF8 { write(2, $0.baseAddress, $0.count) }
    exit(64)
}

var seeds: UInt64 = 10_000
var first: UInt64 = 1
var replayed: UInt64?
var flaw: Flaw?
var untilBroken = false
var size = SchedulePlan.Size.usual
var only: Invariant?
var rest = CommandLine.arguments.dropFirst()
while let argument = rest.popFirst() {
    func value() -> UInt64 {
        guard let text = rest.popFirst(), let value = UInt64(text) else { refuse("\(argument): give a number") }
        return value
    }
    switch argument {
    case "--seeds": seeds = value()
    case "--from": first = value()
    case "--seed": replayed = value()
    case "--until-broken": untilBroken = true
    case "--brief": size = .brief
    case "--flaw":
        guard let name = rest.popFirst() else { refuse("--flaw: give a name; --flaws lists them") }
        guard let known = Flaw.all.first(where: { $0.name == name }) else {
            refuse("--flaw \(name): unknown; --flaws lists them")
        }
        flaw = known
    case "--only":
        guard let name = rest.popFirst(), let known = Invariant(rawValue: name) else {
            refuse("--only: give one of \(Invariant.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))")
        }
        only = known
    case "--flaws":
        for flaw in Flaw.all { print("\(flaw.name)\t\(flaw.limit)\t\(flaw.summary)") }
        exit(0)
    default: refuse("\(argument): unknown")
    }
}

// What replays a schedule with its seed: each size has others.
let option = size == .brief ? " --brief" : ""

if let replayed {
    let outcome = Simulation.play(seed: replayed, size: size, flaw: flaw, only: only, tracing: true)
    print(outcome.history ?? "")
    if let violation = outcome.violation {
        print("seed \(replayed)\(option) breaks \(violation.invariant.rawValue): \(violation.text)")
        exit(1)
    }
    print("seed \(replayed)\(option) breaks nothing in \(outcome.steps) steps")
    exit(0)
}

let summary = Simulation.explore(
    from: first,
    count: seeds,
    size: size,
    flaw: flaw,
    only: only,
    untilBroken: untilBroken
) { outcome in
    guard let violation = outcome.violation else { return }
    print("seed \(outcome.seed)\(option) breaks \(violation.invariant.rawValue): \(violation.text)")
    fflush(nil)
}
print(summary.text)
exit(summary.violations == 0 ? 0 : 1)
