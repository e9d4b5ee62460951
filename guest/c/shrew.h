/* shrew.h: write a shrewd (Metashrew) module in C.
 *
 *     #include "shrew.h"
 *
 *     SHREW_INDEX() {                                   // runs once for every block
 *         shrew_set(SHREW_STR("/tip"), shrew_bytes(shrew_payload().ptr, 80));
 *     }
 *
 *     SHREW_VIEW(tip) {                                 // metashrew_view ["tip", "", "latest"]
 *         return shrew_get(SHREW_STR("/tip"));
 *     }
 *
 * State is a map from byte strings to byte strings, kept by the host in every version there ever
 * was. Reading a key nobody wrote gives zero bytes; a stored value of length 0 reads the same, and
 * is how something is removed.
 *
 * While a block of height h is indexed the host answers with the state after h - 1. The SDK keeps
 * what was read and written in a cache, so a module reads its own writes, and flushes the final
 * value of each key that changed, in the order of first writing. SHREW_INDEX flushes at its end.
 *
 * In a view the same calls work and nothing that is written lasts. A host may keep a view's
 * instance warm and call it again: what was read at a height stays cached for calls at the same
 * height; writes are dropped between calls; a call at another height starts empty. Static variables
 * of your own do live on in a warm instance: use them for constants and nothing else.
 *
 * Pointers returned here are valid to the end of the call into the module.
 *
 * Define SHREW_NO_READ_CACHE before including to keep written keys only (fewer bytes of memory,
 * and every read is a call to the host).
 */
#ifndef SHREW_H
#define SHREW_H

#include "shrew_mem.h"

/* ---- the host's functions: see doc/abi.md. A "buffer" has its length, u32, at ptr - 4. ------ */

#define SHREW_IMPORT(name) __attribute__((import_module("env"), import_name(name)))
SHREW_IMPORT("__host_len") uint32_t shrew_host_len(void);
SHREW_IMPORT("__load_input") void shrew_host_load_input(uint8_t *to);
SHREW_IMPORT("__get_len") uint32_t shrew_host_get_len(const uint8_t *key_buffer);
SHREW_IMPORT("__get") void shrew_host_get(const uint8_t *key_buffer, uint8_t *to);
SHREW_IMPORT("__flush") void shrew_host_flush(const uint8_t *message_buffer);
SHREW_IMPORT("__log") void shrew_host_log(const uint8_t *text_buffer);

/* An instance that served views with more memory than this starts over with the next call: well
 * before the host takes it to have grown past its share. Without a read cache there is nothing to
 * stay warm for, and each call uses the same memory again. */
#ifndef SHREW_WARM_BYTES
#ifdef SHREW_NO_READ_CACHE
#define SHREW_WARM_BYTES 0u
#else
#define SHREW_WARM_BYTES (32u << 20)
#endif
#endif

enum {
    SHREW_LOADED = 1,  /* `stored` is what the host has */
    SHREW_VALID = 2,   /* `value` is what a read gives */
    SHREW_WRITTEN = 4, /* on the list of written entries */
    SHREW_DIRTY = 8,   /* written since the last flush */
};

struct shrew_entry {
    struct shrew_entry *next_written;
    struct shrew_bytes value;
    struct shrew_bytes stored;
    uint32_t flags;
    uint32_t key_len; /* directly before the key: together they are a buffer of the ABI */
    uint8_t key[];
};

struct shrew_slot {
    uint32_t hash;
    struct shrew_entry *entry;
};

#define SHREW_HASH_WORDS 16u

struct shrew_state {
    uint32_t height;
    struct shrew_bytes payload;
    bool warm;                /* a call was made before */
    struct shrew_slot *slots; /* open addressing; at most half are taken */
    uint32_t n_slots;         /* a power of two, or 0 */
    uint32_t n_entries;
    struct shrew_entry *written_first;
    struct shrew_entry *written_last;
    uint64_t hash_words[SHREW_HASH_WORDS];
};

SHREW_SHARED struct shrew_state shrew_state;

/* ---- what every module uses ---------------------------------------------------------------- */

/* The height of the block, or the height a view is asked at. */
SHREW_API uint32_t shrew_height(void) {
    return shrew_state.height;
}

/* The raw block, or the input of the view. */
SHREW_API struct shrew_bytes shrew_payload(void) {
    return shrew_state.payload;
}

/* A line for the host's log, UTF-8. */
SHREW_COLD void shrew_log(struct shrew_bytes text) {
    uint64_t top = shrew_arena.top;
    uint8_t *buffer = shrew_alloc_buffer(text.len);
    shrew_copy(buffer, text.ptr, text.len);
    shrew_host_log(buffer);
    if (top != 0) {
        shrew_arena.top = top;
    }
}

/* Says why, and ends the call: the block stops, or the view answers with an error. */
SHREW_COLD _Noreturn void shrew_fail(struct shrew_bytes why) {
    shrew_log(why);
    __builtin_trap();
}

/* ---- the cache ----------------------------------------------------------------------------- */

SHREW_API uint64_t shrew_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Keys of a universal hash, drawn from the block header: who writes scripts into a block cannot
 * know it, and so cannot make them collide. Nothing that is stored depends on the hash. */
SHREW_COLD void shrew_hash_seed(struct shrew_bytes from) {
    uint64_t seed = from.len;
    for (uint32_t at = 0; at + 8 <= from.len && at < 80; at += 8) {
        seed = shrew_mix(seed ^ shrew_load_u64(from.ptr + at));
    }
    for (uint32_t i = 0; i < SHREW_HASH_WORDS; i++) {
        seed += 0x9e3779b97f4a7c15ull;
        shrew_state.hash_words[i] = shrew_mix(seed);
    }
}

SHREW_API uint64_t shrew_hash_word(uint64_t word, uint32_t i) {
    uint64_t key = shrew_state.hash_words[i % SHREW_HASH_WORDS];
    return (uint64_t)((uint32_t)word + (uint32_t)key) *
           (uint32_t)((uint32_t)(word >> 32) + (uint32_t)(key >> 32));
}

SHREW_API uint32_t shrew_hash(struct shrew_bytes key) {
    uint64_t sum = shrew_hash_word(key.len, 0);
    uint32_t word = 1;
    uint32_t at = 0;
    for (; at + 8 <= key.len; at += 8, word++) {
        sum += shrew_hash_word(shrew_load_u64(key.ptr + at), word);
        if (word % SHREW_HASH_WORDS == SHREW_HASH_WORDS - 1) {
            sum = shrew_mix(sum);
        }
    }
    uint64_t rest = 0;
    if (at < key.len && key.len >= 8) {
        rest = shrew_load_u64(key.ptr + key.len - 8);
    } else {
        for (uint32_t shift = 0; at < key.len; at++, shift += 8) {
            rest |= (uint64_t)key.ptr[at] << shift;
        }
    }
    return (uint32_t)(shrew_mix(sum + shrew_hash_word(rest, word)) >> 32);
}

SHREW_COLD void shrew_cache_grow(void) {
    struct shrew_state *state = &shrew_state;
    uint32_t n_slots = state->n_slots == 0 ? 128 : state->n_slots * 4;
    if (n_slots > UINT32_MAX / sizeof(struct shrew_slot)) {
        __builtin_trap();
    }
    struct shrew_slot *slots =
        (struct shrew_slot *)shrew_alloc(n_slots * (uint32_t)sizeof(struct shrew_slot));
    __builtin_memset(slots, 0, n_slots * sizeof(struct shrew_slot));
    for (uint32_t i = 0; i < state->n_slots; i++) {
        if (state->slots[i].entry != NULL) {
            uint32_t at = state->slots[i].hash & (n_slots - 1);
            while (slots[at].entry != NULL) {
                at = (at + 1) & (n_slots - 1);
            }
            slots[at] = state->slots[i];
        }
    }
    state->slots = slots;
    state->n_slots = n_slots;
}

/* The entry of a key. When there is none: a new one without flags, or NULL with `add` false. */
SHREW_API struct shrew_entry *shrew_cache_find(struct shrew_bytes key, bool add) {
    struct shrew_state *state = &shrew_state;
    if (state->n_entries * 2 >= state->n_slots) {
        shrew_cache_grow();
    }
    uint32_t hash = shrew_hash(key);
    uint32_t at = hash & (state->n_slots - 1);
    while (state->slots[at].entry != NULL) {
        struct shrew_entry *entry = state->slots[at].entry;
        if (state->slots[at].hash == hash && entry->key_len == key.len &&
            shrew_equal(entry->key, key.ptr, key.len)) {
            return entry;
        }
        at = (at + 1) & (state->n_slots - 1);
    }
    if (!add) {
        return NULL;
    }
    if (key.len > UINT32_MAX - 64) {
        __builtin_trap();
    }
    struct shrew_entry *entry =
        (struct shrew_entry *)shrew_alloc((uint32_t)sizeof(struct shrew_entry) + key.len);
    *entry = (struct shrew_entry){.key_len = key.len};
    shrew_copy(entry->key, key.ptr, key.len);
    state->slots[at] = (struct shrew_slot){hash, entry};
    state->n_entries++;
    return entry;
}

/* The host's value of the key in the given buffer. */
SHREW_API struct shrew_bytes shrew_host_read(const uint8_t *key_buffer) {
    uint32_t len = shrew_host_get_len(key_buffer);
    if (len == 0) {
        return shrew_bytes(NULL, 0);
    }
    uint8_t *value = (uint8_t *)shrew_alloc(len);
    shrew_host_get(key_buffer, value);
    return shrew_bytes(value, len);
}

/* ---- reading and writing state ------------------------------------------------------------- */

/* The value of the key, this call's own writes included; length 0 when there is none. */
SHREW_API struct shrew_bytes shrew_get(struct shrew_bytes key) {
#ifdef SHREW_NO_READ_CACHE
    struct shrew_entry *entry = shrew_cache_find(key, false);
    if (entry == NULL || !(entry->flags & SHREW_VALID)) {
        uint8_t *buffer = shrew_alloc_buffer(key.len);
        shrew_copy(buffer, key.ptr, key.len);
        return shrew_host_read(buffer);
    }
#else
    struct shrew_entry *entry = shrew_cache_find(key, true);
    if (!(entry->flags & SHREW_VALID)) {
        entry->stored = shrew_host_read(entry->key);
        entry->value = entry->stored;
        entry->flags |= SHREW_LOADED | SHREW_VALID;
    }
#endif
    return entry->value;
}

SHREW_API void shrew_entry_write(struct shrew_entry *entry, struct shrew_bytes value) {
    /* Always into new memory: what an earlier read returned stays as it was. */
    uint8_t *copy = value.len == 0 ? NULL : (uint8_t *)shrew_alloc(value.len);
    shrew_copy(copy, value.ptr, value.len);
    entry->value = shrew_bytes(copy, value.len);
    entry->flags |= SHREW_VALID | SHREW_DIRTY;
    if (!(entry->flags & SHREW_WRITTEN)) {
        entry->flags |= SHREW_WRITTEN;
        if (shrew_state.written_last == NULL) {
            shrew_state.written_first = entry;
        } else {
            shrew_state.written_last->next_written = entry;
        }
        shrew_state.written_last = entry;
    }
}

/* Writes a value. Copies both. Flushed only if it differs from the stored one, where that is
 * known. */
SHREW_API void shrew_set(struct shrew_bytes key, struct shrew_bytes value) {
    shrew_entry_write(shrew_cache_find(key, true), value);
}

/* Writes a key that the state is known not to have, without asking the host: removed again in the
 * same block, it leaves no trace. */
SHREW_API void shrew_create(struct shrew_bytes key, struct shrew_bytes value) {
    struct shrew_entry *entry = shrew_cache_find(key, true);
    if (!(entry->flags & (SHREW_LOADED | SHREW_WRITTEN))) {
        entry->stored = shrew_bytes(NULL, 0);
        entry->flags |= SHREW_LOADED;
    }
    shrew_entry_write(entry, value);
}

/* The ABI cannot delete: a removed key keeps a value of length 0. */
SHREW_API void shrew_remove(struct shrew_bytes key) {
    shrew_set(key, shrew_bytes(NULL, 0));
}

SHREW_API bool shrew_entry_changed(const struct shrew_entry *entry) {
    if (!(entry->flags & SHREW_DIRTY)) {
        return false;
    }
    return !(entry->flags & SHREW_LOADED) || entry->value.len != entry->stored.len ||
           !shrew_equal(entry->value.ptr, entry->stored.ptr, entry->value.len);
}

SHREW_API uint32_t shrew_varint_len(uint32_t value) {
    uint32_t len = 1;
    for (; value >= 0x80; value >>= 7) {
        len++;
    }
    return len;
}

/* One element of protobuf `repeated bytes list = 1`. */
SHREW_API uint8_t *shrew_put_element(uint8_t *at, const uint8_t *ptr, uint32_t len) {
    *at++ = 0x0a; /* field 1, length-delimited */
    uint32_t rest = len;
    for (; rest >= 0x80; rest >>= 7) {
        *at++ = (uint8_t)(rest | 0x80);
    }
    *at++ = (uint8_t)rest;
    shrew_copy(at, ptr, len);
    return at + len;
}

/* Hands what changed since the last flush to the host, in the order of first writing. A block must
 * flush at least once, if only nothing; SHREW_INDEX does. In a view it has no effect. */
SHREW_COLD void shrew_flush(void) {
    uint64_t len = 0;
    for (struct shrew_entry *e = shrew_state.written_first; e != NULL; e = e->next_written) {
        if (shrew_entry_changed(e)) {
            len += 2ull + shrew_varint_len(e->key_len) + e->key_len +
                   shrew_varint_len(e->value.len) + e->value.len;
        }
    }
    if (len > UINT32_MAX) {
        shrew_fail(SHREW_STR("shrew: more than 4 GiB to flush; flush more often"));
    }
    uint8_t *message = shrew_alloc_buffer((uint32_t)len);
    uint8_t *at = message;
    for (struct shrew_entry *e = shrew_state.written_first; e != NULL; e = e->next_written) {
        if (shrew_entry_changed(e)) {
            at = shrew_put_element(at, e->key, e->key_len);
            at = shrew_put_element(at, e->value.ptr, e->value.len);
        }
        e->stored = e->value;
        e->flags = (e->flags | SHREW_LOADED) & ~(uint32_t)SHREW_DIRTY;
    }
    shrew_host_flush(message);
    shrew_arena.top = (uint64_t)(uintptr_t)(message - 8);
}

/* ---- lists: append-only. `<name>/length` is a u32, `<name>/<index in decimal>` an element. --- */

SHREW_API struct shrew_bytes shrew_list_key(struct shrew_buf *key, struct shrew_bytes name) {
    key->len = 0;
    shrew_buf_add(key, name);
    shrew_buf_add(key, SHREW_STR("/length"));
    return shrew_buf_bytes(key);
}

SHREW_API uint32_t shrew_list_length(struct shrew_bytes name) {
    uint8_t room[64];
    struct shrew_buf key = SHREW_BUF(room);
    struct shrew_bytes value = shrew_get(shrew_list_key(&key, name));
    return value.len >= 4 ? shrew_load_u32(value.ptr) : 0;
}

/* Length 0 past the end. */
SHREW_API struct shrew_bytes shrew_list_get(struct shrew_bytes name, uint32_t index) {
    uint8_t room[64];
    struct shrew_buf key = SHREW_BUF(room);
    shrew_buf_add(&key, name);
    shrew_buf_add_u8(&key, '/');
    shrew_buf_add_dec(&key, index);
    return shrew_get(shrew_buf_bytes(&key));
}

SHREW_API void shrew_list_push(struct shrew_bytes name, struct shrew_bytes value) {
    uint8_t room[64];
    struct shrew_buf key = SHREW_BUF(room);
    uint32_t length = shrew_list_length(name);
    if (length == UINT32_MAX) {
        shrew_fail(SHREW_STR("shrew: a list is full"));
    }
    shrew_buf_add(&key, name);
    shrew_buf_add_u8(&key, '/');
    shrew_buf_add_dec(&key, length);
    shrew_set(shrew_buf_bytes(&key), value);
    uint8_t bytes[4];
    shrew_store_u32(bytes, length + 1);
    shrew_set(shrew_list_key(&key, name), shrew_bytes(bytes, sizeof(bytes)));
}

/* ---- entries from the host ----------------------------------------------------------------- */

SHREW_COLD void shrew_load_input(void) {
    uint32_t len = shrew_host_len();
    if (len < 4) {
        shrew_fail(SHREW_STR("shrew: the host's input has no height"));
    }
    uint8_t *input = (uint8_t *)shrew_alloc(len);
    shrew_host_load_input(input);
    shrew_state.height = shrew_load_u32(input);
    shrew_state.payload = shrew_bytes(input + 4, len - 4);
}

/* Forgets everything, the memory itself included. */
SHREW_COLD void shrew_reset(void) {
    shrew_arena.top = 0;
    shrew_state.slots = NULL;
    shrew_state.n_slots = 0;
    shrew_state.n_entries = 0;
    shrew_state.written_first = NULL;
    shrew_state.written_last = NULL;
}

/* Every call starts here; the macros below do it. */
SHREW_COLD void shrew_begin(void) {
    struct shrew_state *state = &shrew_state;
    uint32_t height = state->height;
    if (state->warm && shrew_arena.top > SHREW_WARM_BYTES) {
        shrew_reset();
    }
    shrew_load_input();
    if (state->warm && state->height != height) {
        shrew_reset();
        shrew_load_input();
    }
    struct shrew_entry *next;
    for (struct shrew_entry *e = state->written_first; e != NULL; e = next) {
        next = e->next_written;
        e->next_written = NULL;
        e->flags = 0;
    }
    state->written_first = NULL;
    state->written_last = NULL;
    if (state->n_entries == 0) {
        shrew_hash_seed(state->payload);
    }
    state->warm = true;
}

/* A view's answer: a buffer of the ABI. */
SHREW_COLD const uint8_t *shrew_answer(struct shrew_bytes bytes) {
    uint8_t *buffer = shrew_alloc_buffer(bytes.len);
    shrew_copy(buffer, bytes.ptr, bytes.len);
    return buffer;
}

/* SHREW_INDEX() { ... }: runs for every block. */
#define SHREW_INDEX()                                                                              \
    static inline void shrew_index_body(void);                                                     \
    __attribute__((export_name("_start"))) void shrew_index(void);                                 \
    void shrew_index(void) {                                                                       \
        shrew_begin();                                                                             \
        shrew_index_body();                                                                        \
        shrew_flush();                                                                             \
    }                                                                                              \
    static inline void shrew_index_body(void)

/* SHREW_VIEW(name) { ...; return bytes; }: a question others may ask, of type struct shrew_bytes.
 */
#define SHREW_VIEW(name)                                                                           \
    static inline struct shrew_bytes shrew_view_body_##name(void);                                 \
    __attribute__((export_name(#name))) const uint8_t *shrew_view_##name(void);                    \
    const uint8_t *shrew_view_##name(void) {                                                       \
        shrew_begin();                                                                             \
        return shrew_answer(shrew_view_body_##name());                                             \
    }                                                                                              \
    static inline struct shrew_bytes shrew_view_body_##name(void)

#endif
