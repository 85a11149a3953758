import InvalidationWorker
import Operations
import Testing

@testable import FreshetCommand
@testable import Systemd

@Suite struct UnitReportTests {
    private let state = WorkerState(lease: .seconds(5))

    private func lines(_ notifications: [ServiceNotification]) -> [String] { notifications.map(\.text) }

    private func commit() {
        state.note(.committed(CommittedPass(vouched: ["workflows"], distrust: [:], rowCount: 0, duration: .zero)))
    }

    @Test func `a worker is ready when its first pass is committed, and says so once`() {
        var report = UnitReport()
        state.turn(.connecting)
        #expect(!report.news(of: state.snapshot).contains(.ready))
        state.note(.leading)
        state.turn(.claiming)
        #expect(!report.news(of: state.snapshot).contains(.ready))
        commit()
        #expect(report.news(of: state.snapshot).first == .ready)
        #expect(!report.news(of: state.snapshot).contains(.ready))
    }

    @Test func `a worker that stands by is ready, and its status says so`() {
        var report = UnitReport()
        state.note(.standingBy(leader: 42))
        #expect(lines(report.news(of: state.snapshot)) == ["READY=1", "STATUS=Standing by: pid 42 leads"])
    }

    @Test func `what the status says is told when it changes`() {
        var report = UnitReport()
        state.note(.failing(server: .postgres, error: "it is away"))
        #expect(lines(report.news(of: state.snapshot)) == ["STATUS=Waiting for Postgres: it is away"])
        #expect(report.news(of: state.snapshot).isEmpty)
        report.headline = "Stopping"
        #expect(lines(report.news(of: state.snapshot)) == ["STATUS=Stopping"])
    }

    @Test func `no status shows a password`() {
        var report = UnitReport()
        state.note(.failing(server: .redis, error: "redis://user:s3cr3t@host refuses"))
        #expect(lines(report.news(of: state.snapshot)).allSatisfy { !$0.contains("s3cr3t") })
    }

    @Test func `a loop that goes on is alive, whatever becomes of the servers, and one that does not is not`() {
        var report = UnitReport()
        state.note(.failing(server: .postgres, error: "it is away"))
        state.turn(.connecting)
        #expect(report.signOfLife(of: state.snapshot).contains(.watchdog))
        #expect(!report.signOfLife(of: state.snapshot).contains(.watchdog))
        state.turn(.connecting)
        #expect(report.signOfLife(of: state.snapshot).contains(.watchdog))
    }

    @Test func `a claim that Postgres is at work on may take as long as it does`() {
        var report = UnitReport()
        state.turn(.claiming)
        var claiming = state.snapshot
        claiming.isClaimUnderWay = true
        for _ in 0..<3 {
            #expect(report.signOfLife(of: claiming).contains(.watchdog))
        }
        #expect(!report.signOfLife(of: state.snapshot).contains(.watchdog))
    }

    @Test func `a start takes longer while the first pass goes on, and no longer while a server fails`() {
        let longer = ServiceNotification.extendTimeout(UnitReport.extraTime)
        var report = UnitReport()
        state.turn(.connecting)
        #expect(!report.signOfLife(of: state.snapshot).contains(longer))
        state.note(.leading)
        state.turn(.claiming)
        var claiming = state.snapshot
        claiming.isClaimUnderWay = true
        #expect(report.signOfLife(of: claiming).contains(longer))
        state.note(.failing(server: .redis, error: "it is away"))
        state.turn(.backingOff)
        #expect(!report.signOfLife(of: state.snapshot).contains(longer))
        commit()
        state.turn(.waiting)
        #expect(!report.signOfLife(of: state.snapshot).contains(longer))
    }
}
