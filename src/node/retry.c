#include "node/retry.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define SAME_TROUBLE_MS 10000u

void shr_retry_voice_init(struct shr_retry_voice *voice) {
    *voice = (struct shr_retry_voice){0};
    pthread_mutex_init(&voice->lock, NULL);
}

void shr_retry_voice_deinit(struct shr_retry_voice *voice) {
    pthread_mutex_destroy(&voice->lock);
}

void shr_retry_init(struct shr_retry *retry, struct shr_halt *halt, struct shr_retry_voice *voice,
                    const char *whom) {
    *retry = (struct shr_retry){
        .halt = halt,
        .voice = voice,
        .whom = whom,
        .random = shr_now_ns(),
    };
}

/* Whether nobody has just said so. Reasons are the same up to their first number: how many bytes
 * came after how many milliseconds differs. */
static bool is_news(struct shr_retry *retry, const char *why, uint64_t now) {
    struct shr_retry_voice *voice = retry->voice;
    char start[sizeof voice->why];
    snprintf(start, sizeof start, "%.*s", (int)strcspn(why, "0123456789"), why);
    pthread_mutex_lock(&voice->lock);
    bool news = retry->told || voice->told_ms == 0 || now - voice->told_ms >= SAME_TROUBLE_MS ||
                strcmp(start, voice->why) != 0;
    if (news) {
        voice->told_ms = now;
        memcpy(voice->why, start, sizeof start);
    }
    pthread_mutex_unlock(&voice->lock);
    return news;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t shr_retry_delay_ms(uint32_t n, uint64_t random) {
    uint32_t delay = SHR_RETRY_FIRST_MS;
    for (uint32_t i = 1; i < n && delay < SHR_RETRY_LAST_MS; i++) {
        delay *= 2;
    }
    if (delay > SHR_RETRY_LAST_MS) {
        delay = SHR_RETRY_LAST_MS;
    }
    return delay - (uint32_t)(random % (delay / 2 + 1));
}

bool shr_retry_pause(struct shr_retry *retry, const char *why) {
    uint64_t now = shr_now_ms();
    if (shr_halted(retry->halt)) {
        return true;
    }
    retry->tries++;
    if (retry->tries == 1) {
        retry->since_ms = now;
    }
    if (retry->tries == 1 || now - retry->logged_ms >= SHR_RETRY_LOG_MS) {
        retry->logged_ms = now;
        if (is_news(retry, why, now)) {
            retry->told = true;
            shr_warn("node", "%s: %s; asking again (try %u)", retry->whom, why, retry->tries);
        }
    }
    return shr_halt_sleep(retry->halt,
                          shr_retry_delay_ms(retry->tries, next_random(&retry->random)));
}

void shr_retry_done(struct shr_retry *retry) {
    if (retry->told) {
        shr_info("node", "%s: answers again after %.1f s", retry->whom,
                 (double)(shr_now_ms() - retry->since_ms) / 1000.0);
        retry->told = false;
    }
    retry->tries = 0;
}
