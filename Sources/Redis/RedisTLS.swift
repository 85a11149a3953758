/// How the connection is encrypted.
///
/// The server's certificate and name are always verified in full.
public struct RedisTLS: Sendable, Hashable {
    /// A PEM file with the authorities to trust instead of the system's.
    public var authorityFile: String?
    /// A PEM file with the client's certificate chain, for servers that ask for one.
    public var certificateFile: String?
    /// A PEM file with the private key of ``certificateFile``.
    public var privateKeyFile: String?

    /// Encryption that trusts the system's authorities, or those of a file.
    public init(authorityFile: String? = nil, certificateFile: String? = nil, privateKeyFile: String? = nil) {
        self.authorityFile = authorityFile
        self.certificateFile = certificateFile
        self.privateKeyFile = privateKeyFile
    }
}
