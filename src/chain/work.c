#include "chain/work.h"

#include "base/endian.h"
#include "chain/block.h"

bool shr_target_decode(struct shr_work *out, uint32_t bits) {
    uint32_t size = bits >> 24;
    uint32_t word = bits & 0x007fffff;
    if (size < 3) {
        word >>= 8 * (3 - size);
    }
    bool negative = (bits & 0x00800000) != 0;
    bool overflow = size > 34 || (word > 0xff && size > 33) || (word > 0xffff && size > 32);
    if (word == 0 || negative || overflow) {
        return false;
    }
    *out = (struct shr_work){{0}};
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t byte = (word >> (8 * i)) & 0xff;
        uint32_t at = size > 3 ? size - 3 + i : i;
        if (byte != 0) {
            out->limb[at / 8] |= byte << (8 * (at % 8));
        }
    }
    return true;
}

int shr_work_cmp(const struct shr_work *a, const struct shr_work *b) {
    for (int i = 3; i >= 0; i--) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] < b->limb[i] ? -1 : 1;
        }
    }
    return 0;
}

void shr_work_add(struct shr_work *sum, const struct shr_work *more) {
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t part = sum->limb[i] + carry;
        carry = part < carry;
        sum->limb[i] = part + more->limb[i];
        carry += sum->limb[i] < part;
    }
}

static void work_sub(struct shr_work *from, const struct shr_work *less) {
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t part = from->limb[i] - borrow;
        borrow = part > from->limb[i];
        from->limb[i] = part - less->limb[i];
        borrow += from->limb[i] > part;
    }
}

void shr_work_of(struct shr_work *out, uint32_t bits) {
    static const struct shr_work one = {{1}};
    struct shr_work divisor;
    struct shr_work quotient = {{0}};
    struct shr_work rest = {{0}};
    if (!shr_target_decode(&divisor, bits)) {
        *out = quotient;
        return;
    }
    /* 2^256 / (t + 1) does not fit the dividend; it equals (2^256 - 1 - t) / (t + 1) + 1. */
    struct shr_work dividend;
    for (int i = 0; i < 4; i++) {
        dividend.limb[i] = ~divisor.limb[i];
    }
    shr_work_add(&divisor, &one);
    for (int bit = 255; bit >= 0; bit--) {
        /* Doubling may drop the 257th bit; the subtraction then borrows it back. */
        bool carried = rest.limb[3] >> 63 != 0;
        struct shr_work once = rest;
        shr_work_add(&rest, &once);
        rest.limb[0] |= (dividend.limb[bit / 64] >> (bit % 64)) & 1;
        if (carried || shr_work_cmp(&rest, &divisor) >= 0) {
            work_sub(&rest, &divisor);
            quotient.limb[bit / 64] |= (uint64_t)1 << (bit % 64);
        }
    }
    shr_work_add(&quotient, &one);
    *out = quotient;
}

bool shr_pow_ok(const struct shr_hash *hash, uint32_t bits) {
    struct shr_work target;
    if (!shr_target_decode(&target, bits)) {
        return false;
    }
    struct shr_work number;
    for (size_t i = 0; i < 4; i++) {
        number.limb[i] = shr_get_le64(hash->b + 8 * i);
    }
    return shr_work_cmp(&number, &target) <= 0;
}
