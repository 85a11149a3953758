/// What may be wrong with a model, on purpose: each is what a reasonable person might have written into the SQL or a script.
package struct Flaws: OptionSet, Hashable, Sendable {
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    private init(_ number: Int) {
        rawValue = 1 << UInt64(number)
    }

    // Scripts.
    package static let generationsWithoutNonce = Flaws(0)
    package static let generationsFromTheClock = Flaws(1)
    package static let fillTakesCurrentNamespace = Flaws(2)
    package static let fillTakesCurrentEntity = Flaws(3)
    package static let fillTakesCurrentVariant = Flaws(4)
    package static let fillTimeAtTheFill = Flaws(5)
    package static let bumpDeletes = Flaws(6)
    package static let bumpIsNotTold = Flaws(7)
    package static let applyIgnoresMark = Flaws(8)
    package static let markComparedOncePerBatch = Flaws(10)
    package static let vouchesForTheScriptsTime = Flaws(11)
    package static let seedAtTheFill = Flaws(12)
    package static let snapshotOutlivesItsPostgres = Flaws(13)
    package static let hintMarkNotCompared = Flaws(14)
    package static let hintChainNeverBroken = Flaws(15)
    package static let fillWithoutLimit = Flaws(16)

    // SQL.
    package static let idsAsCursor = Flaws(20)
    package static let limitOnTheClaim = Flaws(21)
    package static let factsAfterTheClaim = Flaws(22)
    package static let floorWithoutInProgress = Flaws(23)
    package static let markOutsideTheClaim = Flaws(24)
    package static let workflowInsertsIgnored = Flaws(25)
    package static let oldEnvironmentForgotten = Flaws(26)
    package static let newPairOnly = Flaws(27)
    package static let listenAfterTheDrain = Flaws(28)
    package static let incarnationSurvives = Flaws(29)
    package static let resolvedInTheTrigger = Flaws(30)
    package static let triggersUnwatched = Flaws(31)
    package static let loadsInTheCallersSnapshot = Flaws(32)
}
