// The least that it takes to drain the journal: one DELETE that answers what was changed, the bumps of all of it in pipelines, COMMIT.
// Nothing is resolved, nobody looks after the triggers, nothing fences and nothing vouches.
//
//     DrainFloor CONNINFO REDIS-SOCKET KEY-PREFIX [collapse]
//
// Drains whenever freshet_change is notified. Bumping the detector 7 does to the hash <KEY-PREFIX>7 what the worker's script does:
// UNLINK, a new field g, a time to live. With collapse, all that is deleted raises the field gen of <KEY-PREFIX>head, once. Says
// "ready" when it listens. Ends with 1 where anything fails.
#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// How many detectors are bumped in one pipeline.
enum { pipeline_length = 1000 };

static void fail(const char *what, const char *why) {
    fprintf(stderr, "DrainFloor: %s: %s\n", what, why);
    exit(1);
}

static PGresult *expected(PGconn *postgres, PGresult *result, ExecStatusType status) {
    if (PQresultStatus(result) != status) fail("Postgres", PQerrorMessage(postgres));
    return result;
}

static void run(PGconn *postgres, const char *sql) {
    PQclear(expected(postgres, PQexec(postgres, sql), PGRES_COMMAND_OK));
}

static void receive(redisContext *redis, long long count) {
    for (; count > 0; count--) {
        void *reply = NULL;
        if (redisGetReply(redis, &reply) != REDIS_OK) fail("Redis", redis->errstr);
        if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) fail("Redis", ((redisReply *)reply)->str);
        freeReplyObject(reply);
    }
}

/// Sends the bump of one detector, to which three replies come.
static void append(redisContext *redis, const char *prefix, long long detector, long long generation) {
    if (redisAppendCommand(redis, "UNLINK %s%lld", prefix, detector) != REDIS_OK ||
        redisAppendCommand(redis, "HSET %s%lld g %lld.0123456789abcdef", prefix, detector, generation) != REDIS_OK ||
        redisAppendCommand(redis, "PEXPIRE %s%lld 86400000", prefix, detector) != REDIS_OK)
        fail("Redis", redis->errstr);
}

static void drain(PGconn *postgres, redisContext *redis, const char *prefix, int collapses, long long generation) {
    const char *const none[] = {"0"};
    run(postgres, "BEGIN");
    PGresult *claim = expected(postgres, PQexecPrepared(postgres, "claim", 1, none, NULL, NULL, 0),
                               collapses ? PGRES_COMMAND_OK : PGRES_TUPLES_OK);
    long long waiting = 0;
    if (collapses && atoll(PQcmdTuples(claim)) > 0) {
        if (redisAppendCommand(redis, "HINCRBY %shead gen 1", prefix) != REDIS_OK) fail("Redis", redis->errstr);
        receive(redis, 1);
    }
    for (int row = 0; row < PQntuples(claim); row++) {
        // An array as text: {1,2,3}.
        for (char *next = PQgetvalue(claim, row, 0); *next && *next != '}';) {
            append(redis, prefix, strtoll(next + 1, &next, 10), generation);
            if (++waiting == pipeline_length) {
                receive(redis, 3 * waiting);
                waiting = 0;
            }
        }
    }
    receive(redis, 3 * waiting);
    PQclear(claim);
    run(postgres, "COMMIT");
}

int main(int count, char **arguments) {
    int collapses = count == 5 && strcmp(arguments[4], "collapse") == 0;
    if (count != 4 && !collapses) fail("usage", "DrainFloor CONNINFO REDIS-SOCKET KEY-PREFIX [collapse]");
    PGconn *postgres = PQconnectdb(arguments[1]);
    if (PQstatus(postgres) != CONNECTION_OK) fail("Postgres", PQerrorMessage(postgres));
    redisContext *redis = redisConnectUnix(arguments[2]);
    if (redis == NULL || redis->err) fail("Redis", redis ? redis->errstr : "no memory");
    // As the worker: the journal is nearly always empty, and its index is what finds that out.
    run(postgres, "SET enable_seqscan = off");
    const char *claim = collapses ? "DELETE FROM freshet.change WHERE xid >= $1::xid8"
                                  : "DELETE FROM freshet.change WHERE xid >= $1::xid8 RETURNING detector_ids";
    PQclear(expected(postgres, PQprepare(postgres, "claim", claim, 0, NULL), PGRES_COMMAND_OK));
    run(postgres, "LISTEN freshet_change");
    puts("ready");
    fflush(stdout);
    for (long long generation = 1;;) {
        int is_notified = 0;
        // First those that came with the answers to the last drain.
        PGnotify *notification;
        while ((notification = PQnotifies(postgres)) != NULL) {
            is_notified = 1;
            PQfreemem(notification);
        }
        if (is_notified) {
            drain(postgres, redis, arguments[3], collapses, generation++);
            continue;
        }
        struct pollfd event = {.fd = PQsocket(postgres), .events = POLLIN};
        if (poll(&event, 1, -1) < 0 && errno != EINTR) fail("poll", strerror(errno));
        if (!PQconsumeInput(postgres)) fail("Postgres", PQerrorMessage(postgres));
    }
}
