// The program that `deploy/fuzz` builds, from the targets of the tests and libFuzzer. No part of any product.
//
//     Fuzzer                      names the targets
//     Fuzzer TARGET               writes the sound inputs of a target to the folder corpus, and its words to dictionary
//     Fuzzer TARGET FLAG… FOLDER  libFuzzer itself

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The entrance to libFuzzer, which comes with the compiler.
///
/// By its symbol, because there is no header for Swift; integers and pointers are passed as in C.
@_silgen_name("LLVMFuzzerRunDriver")
private func runLibFuzzer(
    _ argumentCount: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main struct Fuzzer {
    /// Set once, before libFuzzer begins, which is single-threaded.
    nonisolated(unsafe) private static var target = FuzzTarget.all[0]

    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count > 1 else { return print(FuzzTarget.all.map(\.name).joined(separator: " ")) }
        guard let target = FuzzTarget.all.first(where: { $0.name == arguments[1] }) else { exit(64) }
        Self.target = target
        guard arguments.count > 2 else { return try write(target) }
        var count = CInt(arguments.count - 1)
        var rest = ([arguments[0]] + arguments[2...]).map { strdup($0) } + [nil]
        let status = rest.withUnsafeMutableBufferPointer { buffer in
            guard var start = buffer.baseAddress else { return CInt(70) }
            return runLibFuzzer(&count, &start) { bytes, count in
                let input = Array(UnsafeBufferPointer(start: bytes, count: count))
                do {
                    return try Fuzzer.target.parse(input) ? 0 : 0
                } catch {
                    fatalError("\(Fuzzer.target): \(error)")
                }
            }
        }
        exit(status)
    }

    private static func write(_ target: FuzzTarget) throws {
        try FileManager.default.createDirectory(atPath: "corpus", withIntermediateDirectories: true)
        for (number, input) in target.sound.enumerated() {
            try Data(input).write(to: URL(filePath: "corpus/sound-\(number)"))
        }
        let words = target.words.map { word in
            "\"" + word.utf8.map { "\\x" + String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() + "\""
        }
        try Data((words.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: "dictionary"))
    }
}
