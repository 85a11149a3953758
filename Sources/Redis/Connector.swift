internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Opens channels to the server of a configuration.
struct Connector: Sendable {
    typealias Prepare = @Sendable (any Channel) -> EventLoopFuture<Void>

    private let open: @Sendable (any EventLoop, @escaping Prepare) -> EventLoopFuture<any Channel>

    /// A connector of any kind; tests have theirs.
    init(_ open: @escaping @Sendable (any EventLoop, @escaping Prepare) -> EventLoopFuture<any Channel>) {
        self.open = open
    }

    /// Opens a channel.
    ///
    /// `prepare` sees each channel that is tried, before it connects, and adds the last handler.
    func connect(on eventLoop: any EventLoop, prepare: @escaping Prepare) -> EventLoopFuture<any Channel> {
        open(eventLoop, prepare)
    }
}

extension Connector {
    /// Sockets, with TLS where the configuration wants it.
    init(_ configuration: RedisConfiguration) {
        self.init { eventLoop, prepare in
            guard let tls = configuration.tls else {
                return Self.connect(configuration, on: eventLoop, prepare: prepare)
            }
            // Reads and parses files, so not on the event loop. Once an attempt: renewed certificates are then found.
            return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) {
                try tls.makeContext()
            }.flatMap { context in
                Self.connect(configuration, on: eventLoop) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = try configuration.makeHandler(context)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }.flatMap {
                        prepare(channel)
                    }
                }
            }
        }
    }

    private static func connect(
        _ configuration: RedisConfiguration,
        on eventLoop: any EventLoop,
        prepare: @escaping Prepare
    ) -> EventLoopFuture<any Channel> {
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(configuration.connectTimeLimit))
            // A lookup of a hundred detectors is answered with 100 KB: read them at once, not in pieces of 2 KiB that grow.
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 128 * 1024))
            .channelInitializer(prepare)
        switch configuration.endpoint {
        case .tcp(let host, let port):
            return
                bootstrap
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.socketOption(.so_keepalive), value: 1)
                .connect(host: host, port: port)
        case .unix(let path):
            return bootstrap.connect(unixDomainSocketPath: path)
        }
    }
}

extension RedisConfiguration {
    fileprivate func makeHandler(_ context: NIOSSLContext) throws -> NIOSSLClientHandler {
        guard case .tcp(let host, _) = endpoint, (try? SocketAddress(ipAddress: host, port: 0)) == nil else {
            // An address has no place in SNI; NIOSSL then verifies it against the addresses in the certificate.
            return try NIOSSLClientHandler(context: context, serverHostname: nil)
        }
        return try NIOSSLClientHandler(context: context, serverHostname: host)
    }
}

extension RedisTLS {
    /// Everything that can be wrong with the files is found here, and named.
    fileprivate func makeContext() throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .fullVerification
        configuration.minimumTLSVersion = .tlsv12
        if let file = authorityFile {
            let authorities = try Self.read("the authorities' certificates", file) {
                try NIOSSLCertificate.fromPEMFile(file)
            }
            configuration.trustRoots = .certificates(authorities)
        }
        if let file = certificateFile {
            configuration.certificateChain = try Self.read("the client's certificate", file) {
                try NIOSSLCertificate.fromPEMFile(file).map { .certificate($0) }
            }
        }
        if let file = privateKeyFile {
            configuration.privateKey = try Self.read("the client's key", file) {
                .privateKey(try NIOSSLPrivateKey(file: file, format: .pem))
            }
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw RedisError(
                .cannotConnect,
                "TLS cannot be set up: \(TransportCause.describe(error))",
                underlying: error
            )
        }
    }

    private static func read<Contents>(
        _ thing: String,
        _ file: String,
        _ body: () throws -> Contents
    ) throws -> Contents {
        do {
            return try body()
        } catch {
            throw RedisError(.cannotConnect, "cannot read \(thing) from \(file)", underlying: error)
        }
    }
}
