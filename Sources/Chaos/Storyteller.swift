import History

/// Tells what was wrong, of each kind the shortest histories.
struct Storyteller {
    let stage: Stage
    let incidents: Incidents
    let checker: HistoryChecker
    let meanings: [Digest: String]

    /// How many are told of each kind.
    private static let toldOfEach = 3
    /// How far from what is told an answer may lie that is told with it, in seconds.
    private static let neighbourhood = 10.0

    /// Something that is wrong, and the set and the moment that its story is about.
    private struct Subject {
        enum Matter {
            case violation(Violation)
            case difference(Comparison.Difference)
            case lost(Transaction)
        }

        var matter: Matter
        var key: HistoryKey
        var moment: Moment
    }

    /// The stories, line by line.
    ///
    /// - Parameter differences: Sets that were not what the database held.
    func tell(_ differences: [Comparison.Difference]) throws -> [String] {
        let different = differences.prefix(Self.toldOfEach)
            .map { Subject(matter: .difference($0), key: $0.key, moment: $0.found) }
        let subjects = violations + lost + different
        return zip(subjects, try neighbours(of: subjects)).flatMap { tell($0, among: $1) }
    }

    private var violations: [Subject] {
        // One for each set: the next answers of the same reader say the same.
        var seen: Set<HistoryKey> = []
        let told = checker.violations.filter { seen.insert($0.answer.key).inserted }.prefix(Self.toldOfEach)
        return told.map { Subject(matter: .violation($0), key: $0.answer.key, moment: $0.lookup.began) }
    }

    private var lost: [Subject] {
        checker.history.lost.prefix(Self.toldOfEach).compactMap { transaction in
            checker.history.set(lostWith: transaction).map { key in
                Subject(matter: .lost(transaction), key: key, moment: transaction.sent)
            }
        }
    }

    /// What else was answered of the set of each subject around its moment, in order.
    private func neighbours(of subjects: [Subject]) throws -> [[Story.Neighbour]] {
        var neighbours = [[Story.Neighbour]](repeating: [], count: subjects.count)
        for (name, path) in stage.reads where !subjects.isEmpty {
            try ReadRecord.decode(try RecordFile.contents(of: path)) { record in
                guard case .lookup(let lookup) = record else { return }
                for (index, subject) in subjects.enumerated()
                where abs((lookup.began - subject.moment) / .seconds(1)) < Self.neighbourhood {
                    neighbours[index] += lookup.answers.filter { $0.key == subject.key }.map { answer in
                        Story.Neighbour(reader: name, lookup: lookup, answer: answer)
                    }
                }
            }
        }
        return neighbours.map { $0.sorted { $0.lookup.began < $1.lookup.began } }
    }

    private func tell(_ subject: Subject, among neighbours: [Story.Neighbour]) -> [String] {
        let story = Story(origin: incidents.origin, meanings: meanings)
        let (history, incidents) = (checker.history, incidents.all)
        return switch subject.matter {
        case .violation(let violation):
            story.tell(violation, of: history.keys[subject.key], neighbours: neighbours, incidents: incidents)
        case .difference(let difference):
            story.tell(difference, of: history.keys[subject.key], neighbours: neighbours, incidents: incidents)
        case .lost(let transaction):
            story.tell(lost: transaction, in: history, neighbours: neighbours, incidents: incidents)
        }
    }
}
