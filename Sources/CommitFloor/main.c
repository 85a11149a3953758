// The least that can be done at all between a commit and a raised generation: a notification comes, and counters rise. Nothing is
// journaled, so that whatever happens while this does not run, or does not listen, is lost; and nothing is asked of Postgres.
//
//     CommitFloor CONNINFO REDIS-SOCKET
//
// A notification of the channel commit_floor says "PREFIX FIRST COUNT", and the field g of the hashes PREFIX<FIRST> and those that
// follow is raised. Says "ready" when it listens. Ends with 1 where anything fails.
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *why) {
    fprintf(stderr, "CommitFloor: %s: %s\n", what, why);
    exit(1);
}

/// Sends what a notification asks for, and returns how many replies come.
static long long append(redisContext *redis, const char *payload) {
    char prefix[128];
    long long first, count;
    if (sscanf(payload, "%127s %lld %lld", prefix, &first, &count) != 3) fail("not understood", payload);
    for (long long place = first; place < first + count; place++) {
        if (redisAppendCommand(redis, "HINCRBY %s%lld g 1", prefix, place) != REDIS_OK) fail("Redis", redis->errstr);
    }
    return count;
}

int main(int count, char **arguments) {
    if (count != 3) fail("usage", "CommitFloor CONNINFO REDIS-SOCKET");
    PGconn *postgres = PQconnectdb(arguments[1]);
    if (PQstatus(postgres) != CONNECTION_OK) fail("Postgres", PQerrorMessage(postgres));
    redisContext *redis = redisConnectUnix(arguments[2]);
    if (redis == NULL || redis->err) fail("Redis", redis ? redis->errstr : "no memory");
    PGresult *result = PQexec(postgres, "LISTEN commit_floor");
    if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("LISTEN", PQerrorMessage(postgres));
    PQclear(result);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd event = {.fd = PQsocket(postgres), .events = POLLIN};
        if (poll(&event, 1, -1) < 0 && errno != EINTR) fail("poll", strerror(errno));
        if (!PQconsumeInput(postgres)) fail("Postgres", PQerrorMessage(postgres));
        long long expected = 0;
        PGnotify *notification;
        while ((notification = PQnotifies(postgres)) != NULL) {
            expected += append(redis, notification->extra);
            PQfreemem(notification);
        }
        for (; expected > 0; expected--) {
            void *reply = NULL;
            if (redisGetReply(redis, &reply) != REDIS_OK) fail("Redis", redis->errstr);
            if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) fail("Redis", ((redisReply *)reply)->str);
            freeReplyObject(reply);
        }
    }
}
