internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Turns the errors of sockets, name lookup and TLS into the few words that help.
enum TransportCause {
    /// One line, without the server's name.
    static func describe(_ error: any Error) -> String {
        switch error {
        case let error as RedisError:
            return error.message
        case let error as NIOConnectionError:
            return describe(error)
        case let error as IOError:
            return systemMessage(error.errnoCode)
        case ChannelError.connectTimeout(let limit):
            return "no answer within \(limit.nanoseconds / 1_000_000) ms"
        case ChannelError.eof, ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed:
            return "the server closed the connection"
        case let error as NIOSSLError:
            return describe(error)
        case let error as NIOSSLExtraError where error == .failedToValidateHostname:
            return "the server's certificate is for another name"
        default:
            return oneLine("\(error)")
        }
    }

    private static func describe(_ error: NIOConnectionError) -> String {
        if !error.connectionErrors.isEmpty {
            // IPv6 and IPv4 of one host mostly fail alike.
            var reasons: [String] = []
            for failure in error.connectionErrors {
                let reason = describe(failure.error)
                if !reasons.contains(reason) {
                    reasons.append(reason)
                }
            }
            return reasons.joined(separator: ", ")
        }
        if error.dnsAError != nil || error.dnsAAAAError != nil {
            return "the host name \"\(error.host)\" cannot be resolved"
        }
        return "no address of \"\(error.host)\" answers"
    }

    private static func describe(_ error: NIOSSLError) -> String {
        let details = "\(error)"
        switch error {
        case .handshakeFailed where details.contains("CERTIFICATE_VERIFY_FAILED"):
            return "the server's certificate is not trusted (name its authority with ?cafile=/path.pem), or has expired"
        case .handshakeFailed where details.contains("WRONG_VERSION_NUMBER"):
            return "the server does not speak TLS on this port"
        case .handshakeFailed where details.contains("EOF during handshake"):
            return "the server closed the connection during the TLS handshake"
        case .handshakeFailed:
            return "TLS handshake failed: \(oneLine(details))"
        case .unableToValidateCertificate, .noCertificateToValidate:
            return "the server's certificate is not trusted"
        case .uncleanShutdown:
            return "the server closed the connection"
        default:
            return "TLS: \(oneLine(details))"
        }
    }

    static func systemMessage(_ code: Int32) -> String {
        guard let text = strerror(code) else { return "system error \(code)" }
        return String(cString: text)
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
