import CoreMetrics
import Prometheus
import Testing

@Suite struct PrometheusRegistryTests {
    private func registry(_ descriptions: MetricDescription...) -> PrometheusRegistry {
        PrometheusRegistry(descriptions)
    }

    private func counter(_ registry: PrometheusRegistry, _ label: String, _ dimensions: (String, String)...) -> Counter
    {
        Counter(label: label, dimensions: dimensions, factory: registry)
    }

    @Test func `a counter has its help, its type and its value`() {
        let registry = registry(.init("jobs_total", .counter, "Jobs that ended."))
        counter(registry, "jobs_total").increment(by: 3)
        #expect(registry.text() == "# HELP jobs_total Jobs that ended.\n# TYPE jobs_total counter\njobs_total 3\n")
    }

    @Test func `a counter that is described is there before it counts, so that its first increase is one`() {
        let registry = registry(
            .init("jobs_total", .counter, "Jobs."),
            .init("by_total", .counter, "By.", labels: ["a"])
        )
        #expect(registry.text().contains("\njobs_total 0\n"))
        #expect(!registry.text().contains("by_total"))
    }

    @Test func `labels are sorted, escaped and one line each`() {
        let registry = registry()
        counter(registry, "c_total", ("z", "1"), ("a", "x\"y\\z\nw")).increment()
        #expect(registry.text().hasSuffix("c_total{a=\"x\\\"y\\\\z\\nw\",z=\"1\"} 1\n"))
    }

    @Test func `the same labels in another order are the same series`() {
        let registry = registry()
        counter(registry, "c_total", ("a", "1"), ("b", "2")).increment()
        counter(registry, "c_total", ("b", "2"), ("a", "1")).increment()
        #expect(registry.text().hasSuffix("\nc_total{a=\"1\",b=\"2\"} 2\n"))
    }

    @Test func `names that Prometheus does not allow are mended`() {
        let registry = registry()
        counter(registry, "9 lives.total", ("__le-vel", "x")).increment()
        #expect(registry.text().hasSuffix("\n_9_lives_total{_le_vel=\"x\"} 1\n"))
    }

    @Test func `help is on one line`() {
        let registry = registry(.init("c_total", .counter, "one\ntwo \\ \"three\""))
        #expect(registry.text().hasPrefix("# HELP c_total one\\ntwo \\\\ \"three\"\n"))
    }

    @Test func `counters never fall, and stop at the largest number`() {
        let registry = registry()
        let counter = registry.makeCounter(label: "c_total", dimensions: [])
        counter.increment(by: 5)
        counter.increment(by: -7)
        #expect(registry.text().hasSuffix("\nc_total 5\n"))
        counter.increment(by: .max)
        #expect(registry.text().hasSuffix("\nc_total 9223372036854775807\n"))
        counter.reset()
        #expect(registry.text().hasSuffix("\nc_total 0\n"))
    }

    @Test func `a gauge is what it was last set to`() {
        let registry = registry()
        Gauge(label: "g", dimensions: [], factory: registry).record(1.5)
        Gauge(label: "g", dimensions: [], factory: registry).record(-2)
        #expect(registry.text().hasSuffix("# TYPE g gauge\ng -2\n"))
        Meter(label: "m", dimensions: [], factory: registry).increment(by: 0.25)
        #expect(registry.text().hasSuffix("# TYPE m gauge\nm 0.25\n"))
    }

    @Test(arguments: [
        (Double.infinity, "+Inf"), (-Double.infinity, "-Inf"), (Double.nan, "NaN"), (1e-05, "1e-05"), (1e300, "1e+300"),
        (0.1, "0.1"), (-0.0, "0"), (123_456_789, "123456789"),
    ])
    func `numbers are written as Prometheus reads them`(value: Double, text: String) {
        let registry = registry()
        Gauge(label: "g", dimensions: [], factory: registry).record(value)
        #expect(registry.text().hasSuffix("\ng \(text)\n"))
    }

    @Test func `a timer is a histogram of seconds, whose buckets add up`() {
        let registry = registry(.init("t_seconds", .histogram, "Time.", labels: ["k"], buckets: [0.1, 1]))
        let timer = Timer(label: "t_seconds", dimensions: [("k", "v")], factory: registry)
        timer.recordMilliseconds(100)
        timer.recordMilliseconds(101)
        timer.recordSeconds(4)
        #expect(
            registry.text() == """
                # HELP t_seconds Time.
                # TYPE t_seconds histogram
                t_seconds_bucket{k="v",le="0.1"} 1
                t_seconds_bucket{k="v",le="1"} 2
                t_seconds_bucket{k="v",le="+Inf"} 3
                t_seconds_sum{k="v"} 4.201
                t_seconds_count{k="v"} 3

                """
        )
    }

    @Test func `a recorder that aggregates is a histogram, and takes no NaN`() {
        let registry = registry(.init("sizes", .histogram, "Sizes.", buckets: [10]))
        let recorder = Recorder(label: "sizes", dimensions: [], aggregate: true, factory: registry)
        recorder.record(11)
        recorder.record(Double.nan)
        #expect(registry.text().contains("\nsizes_bucket{le=\"10\"} 0\nsizes_bucket{le=\"+Inf\"} 1\nsizes_sum 11\n"))
    }

    @Test func `a name keeps its kind, and who takes it for another one harms nothing`() {
        let registry = registry()
        counter(registry, "x_total").increment()
        Gauge(label: "x_total", dimensions: [], factory: registry).record(7)
        registry.makeFloatingPointCounter(label: "x_total", dimensions: []).increment(by: 0.5)
        #expect(registry.text() == "# HELP x_total x_total\n# TYPE x_total counter\nx_total 1\n")
    }

    @Test func `a label that was not bounded ends in one series`() {
        let registry = registry()
        for number in 0..<(PrometheusRegistry.seriesPerFamily + 50) {
            counter(registry, "c_total", ("user", "\(number)")).increment()
        }
        #expect(registry.text().split(separator: "\n").count == PrometheusRegistry.seriesPerFamily + 3)
        #expect(registry.text().contains("\nc_total{user=\"other\"} 50\n"))
    }

    @Test func `what is destroyed is shown no more`() {
        let registry = registry()
        let counter = counter(registry, "c_total", ("a", "1"))
        counter.increment()
        counter.destroy()
        #expect(registry.text() == "")
    }

    @Test func `nothing is lost where many count at once`() async {
        let registry = registry()
        await withTaskGroup(of: Void.self) { tasks in
            for _ in 0..<8 {
                tasks.addTask {
                    for number in 0..<1_000 {
                        registry.makeCounter(label: "c_total", dimensions: [("k", "\(number % 3)")]).increment(by: 1)
                        registry.makeTimer(label: "t_seconds", dimensions: []).recordNanoseconds(1)
                    }
                }
            }
        }
        let text = registry.text()
        #expect(text.contains("c_total{k=\"0\"} 2672\n"))
        #expect(text.contains("t_seconds_count 8000\n"))
    }
}
