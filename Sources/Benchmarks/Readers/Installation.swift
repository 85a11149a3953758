import Freshet

/// The detectors and workflows of the installation whose load is tried: each detector has a global workflow, and one in each
/// environment; five detectors share them.
enum Installation {
    static let detectorCount = 50_000
    static let environmentCount = 5
    /// The sets of a detector: the global one, and one of each environment.
    static let setCount = 1 + environmentCount
    /// Detectors of the same group have the same workflows.
    ///
    /// The most popular ones are of different groups.
    static let groupCount = 10_000
    static let workflowCount = groupCount * setCount

    /// The group of a detector, counted from 0.
    static func group(ofDetector detector: Int64) -> Int { (Int(detector) - 1) % groupCount }

    /// The workflow of a group in an environment; 0 stands for the global one.
    static func workflow(ofGroup group: Int, in environment: Int) -> Int64 {
        Int64(group * setCount + environment + 1)
    }

    static func workflows(ofGroup group: Int) -> ClosedRange<Int64> {
        workflow(ofGroup: group, in: 0)...workflow(ofGroup: group, in: environmentCount)
    }

    /// The key of a set; environment 0 stands for the global one.
    static func key(_ detector: Int64, _ environment: Int) -> DetectorWorkflowsKey {
        DetectorWorkflowsKey(
            detectorID: detector,
            environment: environment == 0 ? .global : .environment(Int64(environment))
        )
    }

    /// The rows.
    ///
    /// The version of a workflow stands in `when_condition_group_id`, which a lookup returns as it is.
    static let statements = """
        INSERT INTO workflow_engine_detector (id) SELECT generate_series(1, \(detectorCount));
        INSERT INTO workflow_engine_workflow (id, environment_id, name, config, when_condition_group_id)
            SELECT id, nullif((id - 1) % \(setCount), 0), 'Notify the team on call of ' || id,
                '{"frequency": 30, "targets": ["email", "chat"], "quiet": false}', 0
            FROM generate_series(1, \(workflowCount)) AS id;
        INSERT INTO workflow_engine_detectorworkflow (detector_id, workflow_id)
            SELECT detector, (detector - 1) % \(groupCount) * \(setCount) + environment + 1
            FROM generate_series(1, \(detectorCount)) AS detector, generate_series(0, \(environmentCount)) AS environment;
        VACUUM ANALYZE;
        """
}
