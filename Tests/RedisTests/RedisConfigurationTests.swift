import Testing

@testable import Redis

@Suite struct RedisConfigurationTests {
    private func message(_ url: String) -> String {
        do throws(RedisURLError) {
            _ = try RedisConfiguration(url: url)
            return ""
        } catch {
            return error.description
        }
    }

    @Test func `a URL names host, port, database, user and password`() throws {
        let configuration = try RedisConfiguration(url: "redis://ada:s%40c%2Fr%3Ft%23%25@cache.example:6380/3")
        #expect(configuration.endpoint == .tcp(host: "cache.example", port: 6380))
        #expect(configuration.username == "ada")
        #expect(configuration.password == "s@c/r?t#%")
        #expect(configuration.database == 3)
        #expect(configuration.tls == nil)
    }

    @Test(arguments: [
        ("redis://localhost", RedisConfiguration(endpoint: .tcp(host: "localhost", port: 6379))),
        ("REDIS://localhost/", RedisConfiguration(endpoint: .tcp(host: "localhost", port: 6379))),
        ("redis://[::1]", RedisConfiguration(endpoint: .tcp(host: "::1", port: 6379))),
        (
            "redis://[2001:db8::7]:7000/1",
            RedisConfiguration(endpoint: .tcp(host: "2001:db8::7", port: 7000), database: 1)
        ),
        ("redis://:secret@h", RedisConfiguration(endpoint: .tcp(host: "h", port: 6379), password: "secret")),
        ("redis://h?db=4", RedisConfiguration(endpoint: .tcp(host: "h", port: 6379), database: 4)),
        ("redis://:a@b@h", RedisConfiguration(endpoint: .tcp(host: "h", port: 6379), password: "a@b")),
        ("rediss://h:1", RedisConfiguration(endpoint: .tcp(host: "h", port: 1), tls: RedisTLS())),
        (
            "rediss://h/2?cafile=/etc/my%20ca.pem&certfile=/c&keyfile=/k",
            RedisConfiguration(
                endpoint: .tcp(host: "h", port: 6379),
                tls: RedisTLS(authorityFile: "/etc/my ca.pem", certificateFile: "/c", privateKeyFile: "/k"),
                database: 2
            )
        ),
        ("unix:///run/redis.sock", RedisConfiguration(endpoint: .unix(path: "/run/redis.sock"))),
        ("unix:///run/a@b.sock?db=9", RedisConfiguration(endpoint: .unix(path: "/run/a@b.sock"), database: 9)),
        (
            "unix://ada:secret@/run/redis.sock",
            RedisConfiguration(endpoint: .unix(path: "/run/redis.sock"), username: "ada", password: "secret")
        ),
    ])
    func `every form of a URL is understood`(url: String, expected: RedisConfiguration) throws {
        #expect(try RedisConfiguration(url: url) == expected)
    }

    @Test(arguments: [
        ("", "it is empty"),
        ("localhost:6379", "no scheme"),
        ("http://localhost", "unknown scheme"),
        ("redis+cluster://localhost", "unknown scheme"),
        ("redis:// localhost", "white space"),
        ("redis://localhost\n", "white space"),
        ("redis://\u{1A}\0h", "white space"),
        ("redis://h\u{9B}1m", "white space"),
        ("redis://a:b@\u{301}h", "a combining character"),
        ("redis://", "no host"),
        ("redis:///0", "no host"),
        ("redis://:6379", "no host"),
        ("redis://h:0", "port is 0; use a number from 1 to 65535"),
        ("redis://h:65536", "port is 65536"),
        ("redis://h:99999999999999999999", "port is not a number"),
        ("redis://h:", "port is not a number"),
        ("redis://h:+1", "port is not a number"),
        ("redis://h:63x9", "port is not a number"),
        ("redis://::1:6379", "write an IPv6 address in brackets"),
        ("redis://[::1", "not closed"),
        ("redis://[nonsense]", "not an IPv6 address"),
        ("redis://[127.0.0.1]", "not an IPv6 address"),
        ("redis://[::1]6379", "stands behind the ]"),
        ("redis://h/zero", "the database is \"zero\""),
        ("redis://h/-1", "the database is \"-1\""),
        ("redis://h/0/1", "the database is \"0/1\""),
        ("redis://h/99999999999", "the database is"),
        ("redis://h/1?db=2", "given twice"),
        ("redis://h?db=1&db=2", "given twice"),
        ("redis://h?db=", "is empty"),
        ("redis://h?db", "is empty"),
        ("redis://h?colour=blue", "unknown parameter \"colour\"; known are db"),
        ("redis://h?cafile=/x", "it belongs to rediss://"),
        ("rediss://h?certfile=/x", "belong together"),
        ("redis://h/0#1", "there is a #"),
        ("redis://h%", "% without two hexadecimal digits"),
        ("redis://h%4", "% without two hexadecimal digits"),
        ("redis://h%+1", "% without two hexadecimal digits"),
        ("redis://h%ff", "is not text"),
        ("redis://h%00", "is not text"),
        ("unix://", "names no socket"),
        ("unix:///", "names no socket"),
        ("unix://run/redis.sock", "write unix:///path, with three slashes"),
        ("unix:///" + String(repeating: "x", count: 200), "201 bytes"),
    ])
    func `a bad URL is named with its fault and the mend`(url: String, fault: String) {
        let message = message(url)
        #expect(message.contains(fault), "\(message)")
        #expect(message.hasPrefix("Redis URL \""))
        #expect(message.contains("; "))
        #expect(!message.unicodeScalars.contains { $0.properties.generalCategory == .control })
    }

    @Test(arguments: [
        "redis://ada:hunter2@h:port",
        "redis://hunter2@h",
        "redis://ada:@h/hunter2@",
        "redis://ada:hun/hunter2@h",
        "redis://:a@hunter2/hunter2@h",
        "redis://ada:x?hunter2@h",
        "redis://ada:x#hunter2@h",
        "redis://ada:hunter2",
        "redis://ada:hunter2%40h:6379",
        "redis://ada:%hunter2@h",
        "redis://h?password=hunter2",
        "ada:hunter2@h:6379",
        "http://ada:hunter2@h",
        "unix://ada:hunter2@run/x",
        "unix://ada:x/hunter2@/run/x?db=z",
        "unix://:a@hunter2/x@/run",
        "redis://ada:hunter2@h/zero",
        "redis://ada:x/hunter2@\u{301}h",
        "ada:hunter2@h://x",
    ])
    func `no message shows a password, however the URL is broken`(url: String) {
        let message = message(url)
        #expect(!message.isEmpty)
        #expect(!message.contains("hunter2"), "\(message)")
    }

    @Test func `the description is a URL without user and password`() throws {
        let tcp = try RedisConfiguration(url: "rediss://ada:hunter2@[::1]:7000/3")
        #expect("\(tcp)" == "rediss://[::1]:7000/3")
        #expect(String(reflecting: tcp) == "rediss://[::1]:7000/3")
        var dumped = ""
        dump(tcp, to: &dumped)
        #expect(!dumped.contains("hunter2"))
        #expect("\(try RedisConfiguration(url: "unix://:hunter2@/run/r.sock?db=2"))" == "unix:///run/r.sock?db=2")
    }

    @Test(arguments: ["redis://a%0Ab%1B:6379", "redis://h%3A1:6379", "unix:///run/a%0A%3Fb@c", "redis://[::1]:6379"])
    func `the description is the URL again, on one line, whatever was percent-encoded in it`(url: String) throws {
        let configuration = try RedisConfiguration(url: url)
        #expect("\(configuration)" == url)
        #expect(try RedisConfiguration(url: "\(configuration)") == configuration)
    }
}
