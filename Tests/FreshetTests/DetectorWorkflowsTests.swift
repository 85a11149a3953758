import Testing

@testable import Freshet

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct DetectorWorkflowsTests {
    private func workflows(_ ids: [Int64], environment: Int64? = nil) -> [Workflow] {
        ids.map { id in
            Workflow(
                id: id,
                name: "w",
                isEnabled: true,
                status: 0,
                config: "{}",
                organizationID: 1,
                environmentID: environment,
                whenConditionGroupID: nil,
                ownerUserID: nil,
                ownerTeamID: nil,
                createdByID: nil,
                dateAdded: Date(microsecondsSince1970: 0),
                dateUpdated: Date(microsecondsSince1970: 0)
            )
        }
    }

    private func merged(_ first: [Int64], _ second: [Int64]) -> [Workflow] {
        DetectorWorkflows.merged(workflows(first), workflows(second, environment: 5))
    }

    @Test(
        arguments: [
            ([], []), ([1, 3], []), ([], [2, 4]), ([1, 3], [2, 4]), ([1, 2], [3, 4]), ([5, 6], [1]), ([1, 2, 3], [2]),
            ([2], [1, 2, 3]), ([3, 1], [2]), ([1], [4, 2]), ([7], [7]),
        ] as [([Int64], [Int64])]
    )
    func `two sets become one, by id, each workflow once`(first: [Int64], second: [Int64]) {
        #expect(merged(first, second).map(\.id) == Set(first + second).sorted())
    }

    @Test(arguments: [([2, 3], [1, 2]), ([3, 2], [2])] as [([Int64], [Int64])])
    func `of a workflow that stands in both the global one counts`(first: [Int64], second: [Int64]) {
        #expect(merged(first, second).first { $0.id == 2 }?.environmentID == nil)
    }
}
