public import Logging

/// A certificate authority made on the spot, and a server certificate for `localhost` and 127.0.0.1 that it signed.
///
/// Made by openssl, valid for two days, in a private folder. Two of them do not trust each other, which is what a test of
/// refused certificates wants.
public final class LocalCertificates: Sendable {
    private let folder: ServiceFolder

    /// The certificate of the authority (PEM): what a client has to trust.
    public var authorityFile: String { folder.file("ca.crt") }
    /// The server's certificate (PEM).
    public var certificateFile: String { folder.file("server.crt") }
    /// The server's private key (PEM).
    public var keyFile: String { folder.file("server.key") }

    private init(folder: ServiceFolder) {
        self.folder = folder
    }

    /// Makes a new authority and a server certificate for the given names (`DNS:…`, `IP:…`).
    public static func make(
        names: [String] = ["DNS:localhost", "IP:127.0.0.1"],
        logger: Logger = LocalServices.logger
    ) async throws -> LocalCertificates {
        let folder = try ServiceFolder(account: .current)
        let certificates = LocalCertificates(folder: folder)
        do {
            let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            try await openssl(
                ["req", "-x509"] + key + [
                    "-keyout", folder.file("ca.key"), "-out", certificates.authorityFile,
                    "-subj", "/CN=Freshet local authority",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                ]
            )
            try await openssl(
                ["req", "-x509"] + key + [
                    "-CA", certificates.authorityFile, "-CAkey", folder.file("ca.key"),
                    "-keyout", certificates.keyFile, "-out", certificates.certificateFile,
                    "-subj", "/CN=localhost",
                    "-addext", "basicConstraints=critical,CA:FALSE",
                    "-addext", "subjectAltName=\(names.joined(separator: ","))",
                ]
            )
        } catch {
            folder.remove()
            throw error
        }
        logger.debug("certificates made", metadata: ["folder": "\(folder.path)"])
        return certificates
    }

    private static func openssl(_ arguments: [String]) async throws {
        _ = try await Tool.run("openssl", arguments, package: "openssl")
    }

    /// Deletes the files.
    public func destroy() {
        folder.remove()
    }
}

extension LocalServices {
    /// Where servers log that are not given a logger.
    public static let logger = Logger(label: "freshet.local-services")
}
