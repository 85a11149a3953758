// Drains the journal whenever freshet_change is notified, in one of two ways, for the worker to be held against.
//
//     DrainFloor CONNINFO REDIS-SOCKET KEY-PREFIX [collapse]
//
// The least that there can be: one DELETE that answers what was changed, the bumps of all of it in pipelines, COMMIT. Nothing is resolved,
// nobody looks after the triggers, nothing fences and nothing vouches. Bumping the detector 7 does to the hash <KEY-PREFIX>7 what the
// worker's script does: UNLINK, a new field g, a time to live. With collapse, all that is deleted raises the field gen of
// <KEY-PREFIX>head, once.
//
//     DrainFloor CONNINFO REDIS-SOCKET KEY-PREFIX same SETTINGS CLAIM SCRIPT
//
// With the same statements as the worker: the files hold the settings of its session, its claim, and its script, which is run for a
// hundred detectors at a time, each run fenced by the mark of the one before. Changes of the cache workflows are taken for changes of
// detectors, each of which is bumped as often as it was changed; where the claim has collapsed them, the namespace is bumped. Nothing is
// vouched for, and the time is not asked for.
//
// Says "ready" when it listens. Ends with 1 where anything fails.
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

static void drain_the_least(PGconn *postgres, redisContext *redis, const char *prefix, int collapses, long long generation) {
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

/// The whole of a file, as text.
static char *contents(const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) fail(path, strerror(errno));
    size_t length = 0, room = 1 << 16;
    char *text = malloc(room);
    for (size_t got; text != NULL && (got = fread(text + length, 1, room - length - 1, file)) > 0;) {
        length += got;
        if (length + 1 == room) text = realloc(text, room *= 2);
    }
    if (text == NULL || ferror(file)) fail(path, "cannot be read");
    fclose(file);
    text[length] = 0;
    return text;
}

/// How many detectors one run of the script bumps, and how many runs are in one pipeline: as the worker has it.
enum { script_length = 100, scripts_in_pipeline = 64 };
/// How many rows are resolved one by one at most, likewise.
#define cap "100000"

/// What the columns of a claim hold; see Journal.claim.
enum { kind_column = 0, cache_column = 1, snapshot_column = 2, rows_column = 6, deleted_column = 7, detectors_column = 10 };

/// The worker's script, and where it is run.
struct head {
    char key[256], told[300], hash[64], mark[256], postgres[256];
};

/// From which transaction on a claim looks for rows, and which before it were in progress, as an array: the snapshot of the last claim.
static char claimed_from[32] = "0", in_progress[1 << 16] = "{}";

/// Reads `xmin:xmax:xip,…`; what does not fit leaves the claim to look at everything.
static void begin_next_claim_behind(const char *snapshot) {
    const char *first = strchr(snapshot, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    if (second == NULL || strlen(second) + 2 > sizeof in_progress || second - first > (long)sizeof claimed_from) {
        snprintf(claimed_from, sizeof claimed_from, "0");
        snprintf(in_progress, sizeof in_progress, "{}");
        return;
    }
    snprintf(claimed_from, sizeof claimed_from, "%.*s", (int)(second - first - 1), first + 1);
    snprintf(in_progress, sizeof in_progress, "{%s}", second + 1);
}

static void copy_text(char *place, size_t room, const redisReply *reply) {
    snprintf(place, room, "%s", reply->type == REDIS_REPLY_STRING ? reply->str : "");
}

/// Sends one run of the script, and replaces the mark.
static void append_run(redisContext *redis, const char *prefix, struct head *head, const char *next, const long long *detectors,
                       int count, long long generation) {
    static char keys[script_length][300];
    const char *arguments[5 + script_length + 12 + script_length];
    char length[16], nonce[17];
    int used = 0;
    snprintf(length, sizeof length, "%d", count + 2);
    snprintf(nonce, sizeof nonce, "%016llx", 0x9e3779b97f4a7c15ull * (unsigned long long)generation);
    arguments[used++] = "EVALSHA";
    arguments[used++] = head->hash;
    arguments[used++] = length;
    arguments[used++] = head->key;
    arguments[used++] = head->told;
    for (int place = 0; place < count; place++) {
        snprintf(keys[place], sizeof keys[place], "%s%lld", prefix, detectors[place]);
        arguments[used++] = keys[place];
    }
    const char *fixed[] = {
        // Expected, set, vouched for, lease, snapshot, whether the namespace is bumped, nonce, time to live, variants, hinted.
        head->mark, head->postgres, next, head->postgres, "", "5000", "", count > 0 ? "0" : "1", nonce, "86400000", "64", "",
    };
    for (int place = 0; place < 12; place++) arguments[used++] = fixed[place];
    for (int place = 0; place < count; place++) arguments[used++] = "*";
    if (redisAppendCommandArgv(redis, used, arguments, NULL) != REDIS_OK) fail("Redis", redis->errstr);
    snprintf(head->mark, sizeof head->mark, "%s", next);
}

static void receive_runs(redisContext *redis, int count) {
    for (; count > 0; count--) {
        redisReply *reply = NULL;
        if (redisGetReply(redis, (void **)&reply) != REDIS_OK) fail("Redis", redis->errstr);
        if (reply->type == REDIS_REPLY_ERROR) fail("Redis", reply->str);
        if (reply->elements != 6 || strcmp(reply->element[0]->str, "applied") != 0) fail("Redis", "a run was fenced");
        freeReplyObject(reply);
    }
}

static void drain_the_same(PGconn *postgres, redisContext *redis, const char *prefix, struct head *head, long long generation) {
    // First, so that it can be seen to be at work: whoever stops it waits for the end of a transaction.
    run(postgres, "BEGIN");
    redisReply *seen = redisCommand(redis, "HMGET %s mark pg", head->key);
    if (seen == NULL || seen->type != REDIS_REPLY_ARRAY || seen->elements != 2) fail("Redis", "no head");
    copy_text(head->mark, sizeof head->mark, seen->element[0]);
    copy_text(head->postgres, sizeof head->postgres, seen->element[1]);
    freeReplyObject(seen);
    char next[64], between[96];
    snprintf(next, sizeof next, "floor%lld", generation);
    const char *const parameters[] = {claimed_from, in_progress, next, cap};
    PGresult *claim = expected(postgres, PQexecPrepared(postgres, "claim", 4, parameters, NULL, NULL, 0), PGRES_TUPLES_OK);
    long long rows = 0, room = 1 << 17, found = 0;
    long long *detectors = malloc(room * sizeof *detectors);
    for (int row = 0; row < PQntuples(claim) && detectors != NULL; row++) {
        const char *kind = PQgetvalue(claim, row, kind_column);
        if (strcmp(kind, "pass") == 0 &&
            strcmp(PQgetvalue(claim, row, rows_column), PQgetvalue(claim, row, deleted_column)) == 0)
            begin_next_claim_behind(PQgetvalue(claim, row, snapshot_column));
        if (strcmp(PQgetvalue(claim, row, cache_column), "workflows") != 0) continue;
        if (strcmp(kind, "cache") == 0) rows = atoll(PQgetvalue(claim, row, rows_column));
        if (strcmp(kind, "change") != 0) continue;
        for (char *element = PQgetvalue(claim, row, detectors_column); *element && *element != '}';) {
            if (found == room) detectors = realloc(detectors, (room *= 2) * sizeof *detectors);
            if (detectors == NULL) break;
            detectors[found++] = strtoll(element + 1, &element, 10);
        }
    }
    if (detectors == NULL) fail("memory", "there is none");
    PQclear(claim);
    int waiting = 0;
    for (long long start = 0; start < found || (start == 0 && rows > 0); start += script_length) {
        int count = found - start < script_length ? (int)(found - start) : script_length;
        snprintf(between, sizeof between, "%s+%lld", next, start);
        append_run(redis, prefix, head, start + count < found ? between : next, detectors + start, count, generation);
        if (++waiting == scripts_in_pipeline) {
            receive_runs(redis, waiting);
            waiting = 0;
        }
    }
    receive_runs(redis, waiting);
    free(detectors);
    run(postgres, "COMMIT");
}

int main(int count, char **arguments) {
    int collapses = count == 5 && strcmp(arguments[4], "collapse") == 0;
    int is_same = count == 8 && strcmp(arguments[4], "same") == 0;
    if (count != 4 && !collapses && !is_same)
        fail("usage", "DrainFloor CONNINFO REDIS-SOCKET KEY-PREFIX [collapse | same SETTINGS CLAIM SCRIPT]");
    PGconn *postgres = PQconnectdb(arguments[1]);
    if (PQstatus(postgres) != CONNECTION_OK) fail("Postgres", PQerrorMessage(postgres));
    redisContext *redis = redisConnectUnix(arguments[2]);
    if (redis == NULL || redis->err) fail("Redis", redis ? redis->errstr : "no memory");
    const char *claim = collapses ? "DELETE FROM freshet.change WHERE xid >= $1::xid8"
                                  : "DELETE FROM freshet.change WHERE xid >= $1::xid8 RETURNING detector_ids";
    struct head head = {.key = ""};
    if (is_same) {
        run(postgres, contents(arguments[5]));
        claim = contents(arguments[6]);
        redisReply *loaded = redisCommand(redis, "SCRIPT LOAD %s", contents(arguments[7]));
        if (loaded == NULL || loaded->type != REDIS_REPLY_STRING) fail("Redis", "the script is not taken");
        copy_text(head.hash, sizeof head.hash, loaded);
        freeReplyObject(loaded);
        // The prefix of an entity's key is the head's key and a colon.
        snprintf(head.key, sizeof head.key, "%.*s", (int)strlen(arguments[3]) - 1, arguments[3]);
        snprintf(head.told, sizeof head.told, "%s.gen", head.key);
    } else {
        // As the worker: the journal is nearly always empty, and its index is what finds that out. And nobody waits for the disk: what a
        // crash brings back is drained again.
        run(postgres, "SET enable_seqscan = off");
        run(postgres, "SET synchronous_commit = off");
    }
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
            if (is_same)
                drain_the_same(postgres, redis, arguments[3], &head, generation++);
            else
                drain_the_least(postgres, redis, arguments[3], collapses, generation++);
            continue;
        }
        struct pollfd event = {.fd = PQsocket(postgres), .events = POLLIN};
        if (poll(&event, 1, -1) < 0 && errno != EINTR) fail("poll", strerror(errno));
        if (!PQconsumeInput(postgres)) fail("Postgres", PQerrorMessage(postgres));
    }
}
