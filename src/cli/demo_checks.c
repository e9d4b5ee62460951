#include "cli/demo_checks.h"

#include "base/clock.h"
#include "base/endian.h"
#include "base/hex.h"
#include "cli/client.h"
#include "node/generated.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UTXO_RECORD 48 /* txid, vout, value, height: guest/samples/balances.c */

struct checks {
    struct shr_source *source;
    struct shr_client *client;
    struct shr_buf answer;
    struct shrewd_error *err;
    int code;
    uint64_t scripts, calls_ns;
    /* the script that holds most */
    struct shr_bytes richest;
    uint64_t richest_sats, richest_utxos;
};

static void say(const char *question, const char *answer) {
    printf("  %-28s %-44s ok\n", question, answer);
}

static int differs(struct checks *c, const char *what, const char *got, const char *expected) {
    return shr_fail(c->err, SHREWD_CORRUPT, "%s answered %s, but the generated chain has %s", what,
                    got, expected);
}

/* Calls a view with bytes as input; the answer is in c->answer. */
static int view(struct checks *c, const char *name, struct shr_bytes input) {
    struct shr_buf hex = {0};
    shr_buf_add_str(&hex, "0x");
    shr_hex_encode(&hex, input);
    json_t *params = json_pack("[s, s]", name, shr_buf_cstr(&hex));
    shr_buf_free(&hex);
    return shr_client_call_hex(c->client, &c->answer, "metashrew_view", params, c->err);
}

static int check_tip(struct checks *c) {
    struct shr_tip tip;
    char expected[80];
    char hash[SHR_HASH_HEX_LEN + 1];
    json_t *result = NULL;
    int code = shr_source_tip(c->source, &tip, c->err);
    if (code == 0) {
        code = shr_client_call(c->client, &result, "metashrew_height", json_array(), c->err);
    }
    if (code != 0) {
        return code;
    }
    snprintf(expected, sizeof expected, "%" PRIu32, tip.height);
    const char *height = json_is_string(result) ? json_string_value(result) : "no string";
    if (strcmp(height, expected) != 0) {
        code = differs(c, "metashrew_height", height, expected);
    } else {
        say("metashrew_height", expected);
    }
    json_decref(result);
    if (code == 0) {
        json_t *params = json_pack("[i]", (int)tip.height);
        code = shr_client_call(c->client, &result, "metashrew_getblockhash", params, c->err);
    }
    if (code != 0) {
        return code;
    }
    shr_hash_hex(hash, &tip.hash);
    snprintf(expected, sizeof expected, "0x%s", hash);
    const char *got = json_is_string(result) ? json_string_value(result) : "no string";
    if (strcmp(got, expected) != 0) {
        code = differs(c, "metashrew_getblockhash", got, expected);
    } else {
        snprintf(expected + 20, sizeof expected - 20, "..%s", hash + SHR_HASH_HEX_LEN - 16);
        say("metashrew_getblockhash", expected);
    }
    json_decref(result);
    return code;
}

static int check_totals(struct checks *c) {
    struct shr_generated_totals known;
    char got[160];
    char expected[160];
    int code = view(c, "totals", shr_bytes(NULL, 0));
    if (code != 0) {
        return code;
    }
    shr_generated_totals(c->source, &known);
    if (c->answer.len != 40) {
        return shr_fail(c->err, SHREWD_CORRUPT, "totals answered %zu bytes, not 40", c->answer.len);
    }
    const uint8_t *at = c->answer.data;
    snprintf(got, sizeof got, "%" PRIu64 " outputs, %" PRIu64 " sat, %" PRIu64 " scripts",
             shr_get_le64(at), shr_get_le64(at + 8), shr_get_le64(at + 24));
    snprintf(expected, sizeof expected, "%" PRIu64 " outputs, %" PRIu64 " sat, %" PRIu64 " scripts",
             known.n_utxos, known.total_sats, known.n_scripts);
    if (strcmp(got, expected) != 0) {
        return differs(c, "view totals", got, expected);
    }
    say("view totals", got);
    return 0;
}

static bool check_balance(void *ctx, struct shr_bytes script, uint64_t sats, uint64_t utxos) {
    struct checks *c = ctx;
    uint64_t start = shr_now_ns();
    c->code = view(c, "balance", script);
    c->calls_ns += shr_now_ns() - start;
    if (c->code != 0) {
        return false;
    }
    const uint8_t *at = c->answer.data;
    if (c->answer.len != 16 || shr_get_le64(at) != sats || shr_get_le64(at + 8) != utxos) {
        c->code = shr_fail(c->err, SHREWD_CORRUPT,
                           "view balance differs from the generated chain's %" PRIu64
                           " sat in %" PRIu64 " outputs",
                           sats, utxos);
        return false;
    }
    if (sats > c->richest_sats) {
        c->richest = script;
        c->richest_sats = sats;
        c->richest_utxos = utxos;
    }
    c->scripts++;
    return true;
}

static int check_balances(struct checks *c) {
    char text[160];
    shr_generated_each_script(c->source, check_balance, c);
    if (c->code != 0 || c->scripts == 0) {
        return c->code;
    }
    snprintf(text, sizeof text, "%" PRIu64 " scripts, %.2f ms a call over HTTP", c->scripts,
             (double)c->calls_ns / 1e6 / (double)c->scripts);
    say("view balance", text);
    return 0;
}

static int check_utxos(struct checks *c) {
    uint64_t sats = 0;
    char text[160];
    int code = view(c, "utxos", c->richest);
    if (code != 0) {
        return code;
    }
    for (size_t at = 0; at + UTXO_RECORD <= c->answer.len; at += UTXO_RECORD) {
        sats += shr_get_le64(c->answer.data + at + 36);
    }
    if (c->answer.len != c->richest_utxos * UTXO_RECORD || sats != c->richest_sats) {
        return shr_fail(c->err, SHREWD_CORRUPT,
                        "view utxos lists %zu bytes worth %" PRIu64 " sat, not %" PRIu64
                        " outputs worth %" PRIu64 " sat",
                        c->answer.len, sats, c->richest_utxos, c->richest_sats);
    }
    snprintf(text, sizeof text, "%" PRIu64 " outputs of the richest script: %" PRIu64 " sat",
             c->richest_utxos, sats);
    say("view utxos", text);
    return 0;
}

/* After the genesis block nothing is spendable; after block 1 there is one coinbase. */
static int check_history(struct checks *c) {
    static const uint64_t expected[2][2] = {{0, 0}, {1, 5000000000u}};
    for (int height = 0; height < 2; height++) {
        json_t *params = json_pack("[s, s, i]", "totals", "0x", height);
        int code = shr_client_call_hex(c->client, &c->answer, "metashrew_view", params, c->err);
        if (code != 0) {
            return code;
        }
        if (c->answer.len != 40 || shr_get_le64(c->answer.data) < expected[height][0] ||
            shr_get_le64(c->answer.data + 8) != expected[height][1]) {
            return shr_fail(c->err, SHREWD_CORRUPT,
                            "view totals at height %d is not what it was then", height);
        }
    }
    say("view totals at 0 and 1", "0 sat, then the first coinbase's 50 BTC");
    return 0;
}

int shr_demo_check(struct shr_source *source, const char *url, struct shrewd_error *err) {
    struct checks checks = {.source = source, .err = err};
    int (*const steps[])(struct checks *) = {check_tip, check_totals, check_balances, check_utxos,
                                             check_history};
    int code = shr_client_open(&checks.client, url, err);
    for (size_t i = 0; code == 0 && i < sizeof steps / sizeof steps[0]; i++) {
        code = steps[i](&checks);
        fflush(stdout);
    }
    if (code == 0) {
        printf("\nEvery answer equals what the generated chain holds.\n");
    }
    shr_client_close(checks.client);
    shr_buf_free(&checks.answer);
    return code;
}
