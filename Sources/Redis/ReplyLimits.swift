/// What a reply may have at most, so that a confused or hostile peer cannot make us allocate without end.
///
/// Depth has a limit of its own in hiredis: seven arrays in one another.
struct ReplyLimits: Sendable {
    /// The bytes of one whole reply.
    var bytes = 256 * 1024 * 1024
    /// The elements of all arrays of one reply together.
    var elements = 4 * 1024 * 1024
}
