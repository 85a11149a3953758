// What is broken on purpose, to see that the simulation notices.
//
// Of SQL and scripts the simulation has models, so their flaws are options of the models. Flaws of Swift code are patches, in
// Tests/SimulationTests/Flaws: each puts a switch where somebody might have written it so. `deploy/simulate flaws` applies all of
// them to a copy of the sources; nothing of them is in these.

/// One thing that a reasonable person might have done otherwise.
package struct Flaw: Sendable {
    package let name: String
    /// What is wrong, in a line.
    package let summary: String
    /// In so many schedules it must have been caught.
    package let limit: Int
    /// Of the models; a flaw of Swift code is known by its name.
    let flaws: Flaws

    init(_ name: String, _ flaws: Flaws = [], limit: Int = 20_000, _ summary: String) {
        self.name = name
        self.flaws = flaws
        self.limit = limit
        self.summary = summary
    }

    /// All that are built in.
    package static let all = ofModels + ofCode

    /// Those of the models.
    private static let ofModels: [Flaw] = [
        Flaw("generations-without-nonce", .generationsWithoutNonce, "generations are counters from one"),
        Flaw("generations-from-the-clock", .generationsFromTheClock, "generations are counters that begin at the time"),
        Flaw(
            "fill-takes-current-namespace",
            .fillTakesCurrentNamespace,
            "an entry is stamped with the namespace at the fill"
        ),
        Flaw("fill-takes-current-entity", .fillTakesCurrentEntity, "an entry is stamped with the entity at the fill"),
        Flaw(
            "fill-takes-current-variant",
            .fillTakesCurrentVariant,
            "an entry is stamped with the variant at the fill"
        ),
        Flaw(
            "fill-time-at-the-fill",
            .fillTimeAtTheFill,
            "an entry's age counts from the fill, not from before the load"
        ),
        Flaw(
            "seed-at-the-fill",
            .seedAtTheFill,
            "an entity gets its generation by the first fill, not before the load"
        ),
        Flaw("fill-without-limit", .fillWithoutLimit, "an entity takes entries of however many variants"),
        Flaw("bump-deletes", .bumpDeletes, "a bump deletes entries and leaves the generations"),
        Flaw("bump-is-not-told", .bumpIsNotTold, "a bump of the namespace writes no key that is tracked"),
        Flaw("apply-ignores-mark", .applyIgnoresMark, "a pass is applied whatever mark the head has"),
        Flaw(
            "mark-compared-once",
            .markComparedOncePerBatch,
            "of several scripts of a batch only the first compares the mark"
        ),
        Flaw(
            "snapshot-outlives-its-postgres",
            .snapshotOutlivesItsPostgres,
            limit: 250_000,
            "a head that changes hands keeps the snapshot of the Postgres before"
        ),
        Flaw(
            "hint-mark-not-compared",
            .hintMarkNotCompared,
            "a pass leaves out what was bumped on hints, whatever dataset it meets"
        ),
        Flaw(
            "hint-chain-never-broken",
            .hintChainNeverBroken,
            limit: 250_000,
            "a bump on a hint goes on with the chain whatever mark the head has"
        ),
        Flaw("vouched-at-the-script", .vouchesForTheScriptsTime, "a pass vouches for the time at which it is applied"),
        Flaw("ids-as-cursor", .idsAsCursor, "the claim takes the rows with ids above the last one"),
        Flaw("limit-on-the-claim", .limitOnTheClaim, "the claim takes a part of what is visible"),
        Flaw("facts-after-the-claim", .factsAfterTheClaim, "links and environments are looked up after the claim"),
        Flaw("floor-without-in-progress", .floorWithoutInProgress, "the floor forgets what was in progress"),
        Flaw("mark-outside-the-claim", .markOutsideTheClaim, "the claim writes no mark"),
        Flaw("workflow-inserts-ignored", .workflowInsertsIgnored, "inserts of workflows are not journaled"),
        Flaw("old-environment-forgotten", .oldEnvironmentForgotten, "an update journals the new environment only"),
        Flaw("new-pair-only", .newPairOnly, "an update of a link journals the new pair only"),
        Flaw("listen-after-the-drain", .listenAfterTheDrain, "the worker listens after its first pass"),
        Flaw("incarnation-survives", .incarnationSurvives, "a crash leaves no trace in the identity"),
        Flaw(
            "resolved-in-the-trigger",
            .resolvedInTheTrigger,
            "the trigger records links and environments as it sees them"
        ),
        Flaw("triggers-unwatched", .triggersUnwatched, "the claim does not say that triggers are off"),
        Flaw("load-in-an-old-snapshot", .loadsInTheCallersSnapshot, "a load reads in a snapshot that was taken before"),
    ]
}
