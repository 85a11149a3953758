import CoreMetrics
import Keyspace
import Prometheus

/// What is measured when somebody asks for metrics.
struct Measurements {
    let version: String
    let look: ServersProbe.Look
    /// The caches that the worker knows of, beside those that Redis has told of.
    let caches: any Collection<String>
    let usage: ProcessUsage?

    /// The measurements in the text format; what is not known is left out, so that nobody takes an old number for a new one.
    func text() -> String {
        let registry = PrometheusRegistry(MetricCatalogue.measured, startsAtZero: false)
        func gauge(_ label: String, _ value: Double?, _ dimensions: (String, String)...) {
            guard let value else { return }
            registry.makeMeter(label: label, dimensions: dimensions).set(value)
        }
        gauge("freshet_build_info", 1, ("version", version))
        gauge("freshet_server_up", look.postgres.isSuccess ? 1 : 0, ("server", "postgres"))
        gauge("freshet_server_up", look.redis.isSuccess ? 1 : 0, ("server", "redis"))
        if case .success(let journal) = look.postgres {
            gauge("freshet_journal_rows", Double(journal.rowCount))
            gauge("freshet_journal_oldest_age_seconds", journal.oldest.map(\.inSeconds) ?? 0)
            gauge("freshet_standbys", Double(journal.standbys.count))
        }
        if look.redis.failure != nil {
            // What readers are told then is no promise.
            for cache in Set(caches).union(look.caches).sorted() { gauge("freshet_healthy", 0, ("cache", cache)) }
        }
        if case .success(let heads) = look.redis {
            for head in heads {
                gauge("freshet_healthy", head.trust == .healthy ? 1 : 0, ("cache", head.cache))
                gauge("freshet_vouched_age_seconds", head.vouched?.inSeconds, ("cache", head.cache))
                gauge("freshet_lease_seconds", head.lease?.inSeconds, ("cache", head.cache))
            }
        }
        if let usage {
            registry.makeFloatingPointCounter(label: "process_cpu_seconds_total", dimensions: [])
                .increment(by: usage.cpuSeconds)
            gauge("process_resident_memory_bytes", Double(usage.residentBytes))
            gauge("process_virtual_memory_bytes", Double(usage.virtualBytes))
            gauge("process_open_fds", Double(usage.openFiles))
            gauge("process_max_fds", usage.maximumFiles.map(Double.init))
            gauge("process_start_time_seconds", usage.startSeconds)
        }
        return registry.text()
    }
}

extension Result {
    var isSuccess: Bool {
        if case .success = self { true } else { false }
    }

    var failure: Failure? {
        if case .failure(let error) = self { error } else { nil }
    }

    var value: Success? {
        if case .success(let value) = self { value } else { nil }
    }
}

extension Duration {
    var inSeconds: Double { self / .seconds(1) }
    var inMilliseconds: Double { self / .milliseconds(1) }
}
