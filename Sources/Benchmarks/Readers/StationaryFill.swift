import Glibc
import Surroundings

/// What a cache holds after a long time under a load: so that a few seconds of measuring begin where days would have led to.
///
/// A set that is read at random λ times a second is loaded 1/λ seconds after it was lost, on average; it is lost after its time to
/// live, or when it is invalidated, which happens μ times a second.
struct StationaryFill {
    let popularity: ZipfDistribution
    let lookupsPerSecond: Double
    let changesPerSecond: Double
    let timeToLive: Duration
    /// Of the changes, those that invalidate: single ones, which are of one set, and bulk ones, which are of all.
    let (single, bulk): (Double, Double)

    init(
        _ popularity: ZipfDistribution,
        lookupsPerSecond: Double,
        changesPerSecond: Double,
        timeToLive: Duration,
        sharesThatInvalidate shares: (single: Double, bulk: Double)
    ) {
        self.popularity = popularity
        self.lookupsPerSecond = lookupsPerSecond
        self.changesPerSecond = changesPerSecond
        self.timeToLive = timeToLive
        (single, bulk) = shares
    }

    /// How old a set is; nil where it is not there.
    ///
    /// The same for the same set each time: a lower rate of changes only adds sets.
    func age(_ detector: Int64, _ environment: Int) -> Duration? {
        var chance = SplitMix64(seed: UInt64(detector) * UInt64(Installation.setCount) + UInt64(environment))
        _ = chance.next()
        let reads =
            lookupsPerSecond * popularity.probability(of: Int(detector))
            / Double(environment == 0 ? 1 : Installation.environmentCount)
        let group = Installation.group(ofDetector: detector)
        let changes =
            changesPerSecond
            * stride(from: group + 1, through: Installation.detectorCount, by: Installation.groupCount)
            .reduce(0) { $0 + popularity.probability(of: $1) } * (single / Double(Installation.setCount) + bulk)
        let life = Stopwatch.microseconds(timeToLive) / 1e6
        // The mean time for which it stays, the earlier of the two ends.
        let stay = changes > 0 ? -expm1(-changes * life) / changes : life
        guard Double.random(in: 0..<1, using: &chance) < stay / (stay + 1 / reads) else { return nil }
        let place = Double.random(in: 0..<1, using: &chance)
        return .seconds(changes > 0 ? -log1p(place * expm1(-changes * life)) / changes : place * life)
    }

    /// All sets that are there.
    func sets() -> [(detector: Int64, environment: Int, age: Duration)] {
        (1...Int64(Installation.detectorCount)).flatMap { detector in
            (0...Installation.environmentCount).compactMap { environment in
                age(detector, environment).map { (detector, environment, $0) }
            }
        }
    }
}
